"""The project's Markdown pages as tests read them: sections, code blocks, commands."""

import re
from pathlib import Path

from eval.files.places import ROOT

EXTRAS = ("CONTRIBUTING.md", "README.md", "results/tables/README.md")


def pages() -> list[Path]:
    """Every page that tells a reader what to type."""
    folders = [*ROOT.glob("docs/**/*.md"), *ROOT.glob("eval/**/README.md"), *ROOT.glob("*/README.md")]
    return sorted({*folders, *(ROOT / name for name in EXTRAS)})


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """The text under each heading of the second level; that before the first bears the name ""."""
    first, *parts = re.split(r"^## ", text, flags=re.MULTILINE)
    return {"": first} | {part.partition("\n")[0]: part.partition("\n")[2] for part in parts}


def blocks(text: str, language: str) -> list[str]:
    """The code of its fenced blocks in that language, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    return [code for found, code in fenced if found == language]


def lines(text: str) -> list[str]:
    """The commands of its shell blocks, continued lines joined."""
    shell = "\n".join(blocks(text, "bash")).replace("\\\n", " ")
    return [line.strip() for line in shell.splitlines() if line.strip()]


def words(text: str) -> int:
    """Words of prose and code: whatever has a letter or a digit between two spaces."""
    return sum(1 for word in text.split() if re.search(r"\w", word))
