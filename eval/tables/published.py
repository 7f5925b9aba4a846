"""Published numbers beside ours: results/published.csv, one number a line."""

import csv
import functools
from dataclasses import dataclass
from pathlib import Path

from eval.files.places import ROOT

PUBLISHED = ROOT / "results" / "published.csv"

# Which published numbers may stand beside a protocol's: the paper's text says `paper`, its scripts say `authors`, and
# it does not say which of them made its table.
SHOWN = {"paper": ("paper",), "authors": ("authors", "paper"), "torchray": ("torchray",)}


@dataclass(frozen=True)
class Published:
    """value: a share, 0.830. digits: how many decimals of it were published. reference: paper | torchray."""

    value: float
    digits: int
    reference: str
    protocol: str


@functools.cache
def read_published(path: Path = PUBLISHED) -> dict[tuple[str, str, str, str, str], Published]:
    """{(dataset, subset, model, method, protocol): number}; model "" where it holds for every model.

    ValueError names a line that cannot be read or a cell that is there twice.
    """
    numbers = {}
    with open(path, newline="", encoding="utf-8") as stream:
        for line in csv.DictReader(stream):
            try:
                cell = line["dataset"], line["subset"], line["model"], line["method"], line["protocol"]
                number = Published(
                    float(line["value"]), len(line["value"].partition(".")[2]), line["reference"], line["protocol"]
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(f"{path}: {line} is not a published number: {error!r}") from None
            if cell in numbers:
                raise ValueError(f"{path} has two numbers for {' '.join(cell)}")
            numbers[cell] = number
    return numbers


def published(dataset: str, subset: str, model: str | None, method: str, protocol: str) -> Published | None:
    """The published number for a cell, or None. method and protocol are names without a variant."""
    known = read_published()
    for other in SHOWN.get(protocol, (protocol,)):
        for network in (model or "", ""):
            number = known.get((dataset, subset, network, method, other))
            if number is not None:
                return number
    return None
