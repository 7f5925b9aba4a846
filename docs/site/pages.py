"""A hook of mkdocs: the checkout's own Markdown files are pages too, and links between all of them stay right."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]
TAKEN = (
    "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "results/tables/explain.jpg", "*/README.md", "eval/*/README.md",
    "results/*/README.md", "results/tables/*.md",
)  # fmt: skip
LINK = re.compile(r"\[([^]]*)\]\((?!\w+://)([^)\s#]+)(#[^)\s]*)?\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds them at their places in the checkout."""
    for path in sorted({path for pattern in TAKEN for path in ROOT.glob(pattern)}):
        files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """A link to a page of the site leads there; one to any other file of the checkout becomes that file's name."""
    source = page.file.src_uri
    here = source if (ROOT / source).is_file() else f"docs/{source}"

    def led(match: re.Match) -> str:
        text, name, anchor = match.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(here), name))
        uri = target.removeprefix("docs/")
        if files.get_file_from_path(uri) is not None:
            return f"[{text}]({posixpath.relpath(uri, posixpath.dirname(source) or '.')}{anchor or ''})"
        return f"{text} (`{target}`)" if (ROOT / target).exists() else match[0]

    fences = re.split(r"(^```.*?^```$)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part.startswith("```") else LINK.sub(led, part) for part in fences)
