"""claim.yaml: who says so, what the method is, what the author did with the data, and the numbers."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import yaml

from eval.files.parsed import parsed_yaml, shown

FORMAT = 1
LONGEST = 2000
# What the author looked at while choosing settings, in words.
LOOKED_AT = {
    "nothing": "no pictures: settings were taken as they come",
    "other": "other pictures than those reported",
    "same": "the reported pictures themselves",
}
CODE = {
    "built in": "of this suite",
    "file": "came with the claim",
    "requirement": "a package to install",
    "git": "a git address with its commit",
}
GIT = re.compile(r"https://[\w.-]+/[\w./~+-]+@[0-9a-f]{40}")
REQUIREMENT = re.compile(r"[A-Za-z0-9][\w.-]*==[\w.+!-]+(, [A-Za-z0-9][\w.-]*==[\w.+!-]+)*")


@dataclass(frozen=True)
class Statement:
    """What claim.yaml says.

    author, paper, url, text: who says so and where. label: the method's, with the settings in which it differs from
    its name's. code, code_value: a key of CODE, with the requirement or address. looked_at: a key of LOOKED_AT;
    looked_at_what: which pictures, in words; keys: their names where the author gives them; tried: how many settings.
    partial: whether pairs are missing. stated: the paper's numbers, each with protocol, subset, measure and value.
    scores: the rows' numbers as `scores.stated` computes them.
    """

    author: str
    paper: str
    url: str
    text: str
    label: str
    code: str
    code_value: str
    looked_at: str
    looked_at_what: str
    keys: tuple[str, ...]
    tried: int
    partial: bool
    stated: tuple[dict, ...]
    scores: tuple[dict, ...]

    def __post_init__(self) -> None:
        for name in ("author", "label", "looked_at", "code"):
            if not getattr(self, name):
                raise ValueError(f"claim.yaml does not say {name.replace('_', ' ')}")
        if self.url and not re.fullmatch(r"https?://[!-~]+", self.url):
            raise ValueError(f"url is {shown(self.url)}, no address on the web")
        if self.looked_at not in LOOKED_AT:
            raise ValueError(f"looked at must be {', '.join(LOOKED_AT)}, not {shown(self.looked_at)}")
        if self.tried < 1 or (self.tried > 1 and self.looked_at == "nothing"):
            raise ValueError(
                f"{self.tried} settings were tried and pictures looked at: {self.looked_at}; one setting is tried at "
                "least, and nobody chooses among several without looking at pictures"
            )
        if self.code not in CODE:
            raise ValueError(f"code must be {', '.join(CODE)}, not {shown(self.code)}")
        pattern = {"git": GIT, "requirement": REQUIREMENT}.get(self.code)
        if pattern and not pattern.fullmatch(self.code_value):
            raise ValueError(
                f"code says {self.code} {shown(self.code_value)}; https://HOST/NAME@COMMIT or NAME==VERSION"
            )

    @property
    def bytes(self) -> bytes:
        """claim.yaml."""
        content = {
            "claim": FORMAT,
            "author": self.author,
            "paper": self.paper,
            "url": self.url,
            "text": self.text,
            "method": {"label": self.label, "code": self.code, "value": self.code_value},
            "chosen": {
                "looked_at": self.looked_at, "what": self.looked_at_what, "settings_tried": self.tried,
                "keys": list(self.keys),
            },
            "partial": self.partial,
            "stated": list(self.stated),
            "scores": list(self.scores),
        }  # fmt: skip
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120).encode()


STATED = {"protocol": str, "subset": str, "measure": str, "value": float}
SCORE = STATED | {"setting": str, "n": int, "pairs": int, "low": float | None, "high": float | None}
SHAPE: dict[str, Any] = {
    "claim": int, "author": str, "paper": str, "url": str, "text": str,
    "method": {"label": str, "code": str, "value": str},
    "chosen": {"looked_at": str, "what": str, "settings_tried": int, "keys": [str]},
    "partial": bool, "stated": [STATED], "scores": [SCORE],
}  # fmt: skip


def read(text: bytes) -> Statement:
    """A claim.yaml. ValueError names what it lacks, has beside, or has of another kind."""
    content = _fitting(parsed_yaml(text, "claim.yaml"), SHAPE, "claim.yaml")
    if content["claim"] != FORMAT:
        raise ValueError(f"claim.yaml is of format {content['claim']}, this program reads {FORMAT}")
    method, chosen = content["method"], content["chosen"]
    return Statement(
        **{name: content[name] for name in ("author", "paper", "url", "text", "partial")},
        label=method["label"],
        code=method["code"],
        code_value=method["value"],
        looked_at=chosen["looked_at"],
        looked_at_what=chosen["what"],
        keys=tuple(chosen["keys"]),
        tried=chosen["settings_tried"],
        stated=tuple(content["stated"]),
        scores=tuple(content["scores"]),
    )


def _fitting(value: Any, shape: Any, what: str) -> Any:
    if isinstance(shape, dict):
        if not isinstance(value, dict) or value.keys() != shape.keys():
            odd = sorted(map(str, (value.keys() if isinstance(value, dict) else set()) ^ shape.keys()))
            raise ValueError(f"{what} has fields too many or too few: {shown(odd)}")
        return {name: _fitting(value[name], inner, f"{what}, {name}") for name, inner in shape.items()}
    if isinstance(shape, list):
        if not isinstance(value, list) or len(value) > 100_000:
            raise ValueError(f"{what} is {shown(value)}, no list of a claim")
        return [_fitting(each, shape[0], what) for each in value]
    kind = int if shape is float and type(value) is int else shape
    if not (isinstance(value, kind) and (shape is bool or not isinstance(value, bool))):
        raise ValueError(f"{what} is {shown(value)}, of another kind than a claim's")
    if isinstance(value, float) and not abs(value) < 1e12:
        raise ValueError(f"{what} is {value}, no finite number")
    if isinstance(value, str) and (len(value) > LONGEST or not value.isprintable()):
        raise ValueError(f"{what} must be at most {LONGEST} printable characters, not {value[:80]!a}")
    return value
