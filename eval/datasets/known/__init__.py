"""What is known of data sets that nobody may ship: their pairs, regions and sizes, so that rows of others are named.

index.yaml says which data set each entry is about and where its annotations are from. A file holds a line a pair: key,
label, difficult, width, height, boxes (four numbers each, as the suite's reader has them: 0-based, end exclusive), the
region's digest and, where original pictures were at hand, that of the picture file. Sets too large for that have marks:
30 bits of a digest of each pair's line, so that one altered row in 20,000 passes by chance. Every entry has a digest of
all lines, which a whole claim agrees with or does not. COCO val is not among them, as its annotations were not at hand;
who has them makes an entry by `python -m scripts.claim known`.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from eval.game.region import Region
from eval.game.sample import Sample, pairs

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Pair:
    """What is known of one (picture, class). picture: digest of the file, None where it is not known."""

    size: tuple[int, int]
    difficult: bool
    region: Region
    picture: str | None


@dataclass(frozen=True)
class Known:
    """name: of the data set, for readers. count: of its pairs. digest: of all their lines. pairs: each of them; empty
    where only digests are known. marks: those of all lines, None where not even they are known."""

    name: str
    count: int
    digest: str
    pairs: dict[tuple[str, str], Pair]
    marks: frozenset[int] | None = None


def known(dataset: dict) -> Known | None:
    """What is known of the data set whose `name` and `build` an identity holds; None: nothing."""
    build = dataset["build"]
    for entry in _index()["data"]:
        same = all(build.get(name, entry["default"].get(name)) == value for name, value in entry["build"].items())
        if same and entry.get("called", dataset["name"]) == dataset["name"]:
            listed, marked = (FOLDER / entry[name] if name in entry else None for name in ("file", "marks"))
            return Known(
                entry["name"], entry["pairs"], entry["digest"], _pairs(listed) if listed else {},
                _marks(marked) if marked else None,
            )  # fmt: skip
    return None


def weights(model: dict) -> str | None:
    """The digest of the weights that a network's name and callable mean; None: unknown."""
    for entry in _index()["weights"]:
        build = model.get("build") or {}
        if model.get("name") == entry["name"] and all(build.get(n) == v for n, v in entry["build"].items()):
            return str(entry["digest"])
    return None


@functools.cache
def _index() -> dict:
    return yaml.safe_load((FOLDER / "index.yaml").read_text(encoding="utf-8"))


@functools.cache
def _pairs(path: Path) -> dict[tuple[str, str], Pair]:
    from pyarrow import parquet

    found = {}
    for line in parquet.read_table(path).to_pylist():
        size = line["width"], line["height"]
        region = Region.from_boxes(np.reshape(line["boxes"], (-1, 4)), size)
        vars(region)["digest"] = line["region"].hex()  # a test computes all of them
        found[line["key"], line["label"]] = Pair(size, line["difficult"], region, line["picture"])
    return found


@functools.cache
def _marks(path: Path) -> frozenset[int]:
    from pyarrow import parquet

    return frozenset(np.cumsum(parquet.read_table(path)["step"].to_numpy()).tolist())


def pairs_of(sample: Sample, classes: Any, picture: str | None = None) -> dict[tuple[str, str], Pair]:
    """The pairs of an annotated picture."""
    return {
        (sample.key, classes[pair.label]): Pair(sample.size, pair.difficult, sample.region(pair.label), picture)
        for pair in pairs(sample)
    }


def texts(lines: Iterable[tuple[str, str, int, int, bool, str]]) -> list[str]:
    """The line of each pair: (key, label, width, height, difficult, region's digest)."""
    return [
        "\t".join(map(str, (key, label, int(width), int(height), int(difficult), region)))
        for key, label, width, height, difficult, region in lines
    ]


def digest(lines: Iterable[str]) -> str:
    """Sixteen hex digits of the lines of all pairs, in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def mark(line: str) -> int:
    """The first 30 bits of a line's digest."""
    return int.from_bytes(hashlib.sha256(line.encode()).digest()[:4], "big") >> 2
