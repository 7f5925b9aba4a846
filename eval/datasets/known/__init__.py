"""What is known of data sets that nobody may ship: their pairs, regions and sizes, so that rows of others are named.

index.yaml says which data set each entry is about and where its annotations are from. A file holds a line a pair: key,
label, difficult, width, height, boxes (four numbers each, as the suite's reader has them: 0-based, end exclusive), the
region's digest and, where original pictures were at hand, that of the picture file. Sets too large for that have a
digest of all their lines alone, and a whole claim agrees with it or does not. `python -m scripts.claim known` writes
both.
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
    where only the digest is known."""

    name: str
    count: int
    digest: str
    pairs: dict[tuple[str, str], Pair]


def known(build: dict) -> Known | None:
    """What is known of the data set that a `build` names; None: nothing."""
    for entry in _index()["data"]:
        if all(build.get(name, entry["default"].get(name)) == value for name, value in entry["build"].items()):
            file = entry.get("file")
            return Known(entry["name"], entry["pairs"], entry["digest"], _pairs(FOLDER / file) if file else {})
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


def pairs_of(sample: Sample, classes: Any, picture: str | None = None) -> dict[tuple[str, str], Pair]:
    """The pairs of an annotated picture."""
    return {
        (sample.key, classes[pair.label]): Pair(sample.size, pair.difficult, sample.region(pair.label), picture)
        for pair in pairs(sample)
    }


def digest(lines: Iterable[tuple[str, str, int, int, bool, str]]) -> str:
    """Sixteen hex digits of (key, label, width, height, difficult, region's digest) of all pairs, in any order."""
    texts = sorted(
        "\t".join(map(str, (key, label, int(width), int(height), int(difficult), region)))
        for key, label, width, height, difficult, region in lines
    )
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
