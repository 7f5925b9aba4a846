"""What the steps of verification found, what it adds up to, and the verdict that is left beside a claim."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from eval.claims import folder
from eval.files import journal

STEPS = ("whole", "recomputed", "data", "rerun")
HOLDS, FAILS, NOTE, MARK = "holds", "fails", "note", "mark"


@dataclass(frozen=True)
class Line:
    """step: of STEPS. what: holds | fails | note | mark (allowed, but readers are told). text: a sentence."""

    step: str
    what: str
    text: str


@dataclass
class Report:
    """place: the claim's folder. name: its digest. rerun, of: pictures evaluated anew, and that there are."""

    place: Path
    name: str = ""
    lines: list[Line] = field(default_factory=list)
    rerun: int = 0
    of: int = 0

    def add(self, step: str, what: str, text: str) -> None:
        """A line of a step."""
        self.lines.append(Line(step, what, text))

    def faults(self, step: str, texts: Sequence[str], otherwise: str) -> None:
        """Each text as a fault of the step; without any, that it holds."""
        for text in texts:
            self.add(step, FAILS, text)
        if not texts:
            self.add(step, HOLDS, otherwise)

    @property
    def holds(self) -> bool:
        """Whether nothing was found that contradicts the claim."""
        return not any(line.what == FAILS for line in self.lines)

    def passed(self, step: str) -> bool:
        """Whether a step was done and found no fault."""
        mine = [line.what for line in self.lines if line.step == step]
        return HOLDS in mine and FAILS not in mine

    @property
    def verdict(self) -> str:
        """whole | recomputed | rerun 50 of 4,952 | fully rerun | does not hold."""
        if not self.holds:
            return "does not hold"
        if self.passed("rerun"):
            return "fully rerun" if self.rerun == self.of else f"rerun {self.rerun:,} of {self.of:,}"
        return "recomputed" if self.passed("recomputed") else "whole"

    @property
    def content(self) -> dict:
        """The same for a robot."""
        lines = [asdict(line) for line in self.lines]
        return {"place": str(self.place), "claim": self.name, "holds": self.holds, "verdict": self.verdict,
                "steps": {step: [line for line in lines if line["step"] == step] for step in STEPS}}  # fmt: skip


def write_verdict(report: Report, by: str, where: dict) -> Path:
    """Write verdicts/BY.json beside the claim: who ran which steps, where and when, and what came out."""
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,60}", by):
        raise ValueError(f"{by!r} is no name of a verdict: letters, digits, _ and - alone")
    path = report.place / folder.VERDICTS / f"{by}.json"
    journal.make_folder(path.parent)
    content = {"by": by, **where, **{k: v for k, v in report.content.items() if k != "place"}}
    journal.replace(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
    return path
