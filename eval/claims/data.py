"""A claim's rows against what is known of its data set: pairs, sizes, regions, picture files and what they decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.claims.rows_file import lines_of
from eval.datasets import known
from eval.datasets.known import Pair
from eval.files.words import several

FEW = 3  # of the pairs at fault are named
SLACK = 1e-6


@dataclass(frozen=True)
class There:
    """The pairs that there are, and in which words. pictures: whether every picture file was read. whole: False where
    nobody knows more than a digest of all pairs."""

    words: str
    pairs: dict[tuple[str, str], Pair]
    count: int
    digest: str = ""


def shipped(build: dict) -> There | None:
    """What the project knows of a data set without having it."""
    found = known.known(build)
    return There(f"known pairs of {found.name}", found.pairs, found.count, found.digest) if found else None


def here(dataset: Any, build: dict) -> There:
    """The pairs of a data set that lies here; those of pictures that do not are the project's, where it knows them."""
    found: dict[tuple[str, str], Pair] = {}
    for index in range(len(dataset)):
        sample = dataset[index]
        found |= known.pairs_of(sample, dataset.classes, sample.file_digest)
    beside = known.known(build)
    pairs = (beside.pairs if beside else {}) | found
    words = f"the data that lie here, {len(found):,} pairs"
    return There(words, pairs, len(pairs))


def asked(pairs: Iterable[tuple[str, str]], info: dict) -> set[tuple[str, str]]:
    """Those of the pairs whose class the network of a run has an output for."""
    model = info["identity"]["model"]
    if not model or not model.get("outputs"):
        return set(pairs)
    classes = {name for name, each in zip(info["classes"], model["outputs"], strict=True) if each}
    return {pair for pair in pairs if pair[1] in classes}


def count(info: dict) -> int:
    """How many pairs a run should have: those that run.json says, or more that the project knows of."""
    there = shipped(info["identity"]["dataset"]["build"])
    return max(info["pairs"]["all"], len(asked(there.pairs, info)) if there and there.pairs else 0)


def disagreements(rows: pd.DataFrame, there: There, info: dict, partial: bool = False) -> list[str]:
    """What rows and data disagree about, a sentence a kind of fault. info: run.json. partial: pairs may be missing."""
    if not there.pairs:
        ours = known.digest(lines_of(rows, "key", "label", "width", "height", "difficult", "region"))
        same = ours == there.digest
        return (
            []
            if same
            else [f"the {len(rows):,} rows are not about {there.words}: {there.count:,} pairs, {there.digest}"]
        )
    faults: dict[str, list[str]] = {}
    blind = info["identity"]["method"].get("blind", False)
    for line in rows.astype(object).itertuples(index=False):
        pair = there.pairs.get((line.key, line.label))
        for what in ["is no pair of it"] if pair is None else _faults(line, pair, blind):
            faults.setdefault(what.partition(":")[0], []).append(f"{line.key} {line.label}{what.partition(':')[2]}")
    hard = bool(rows["difficult"].all()) and info["pairs"]["all"] > len(rows)
    wanted = {pair for pair in asked(there.pairs, info) if not hard or there.pairs[pair].difficult}
    lost = wanted - set(lines_of(rows, "key", "label"))
    if lost and not partial:
        faults[f"has no row, of {len(wanted):,} pairs"] = [" ".join(pair) for pair in sorted(lost)]
    return [f"{several(len(who), 'pair')}: {what}: {_few(who)}" for what, who in faults.items()]


def _faults(line: Any, pair: Pair, blind: bool = False) -> Iterator[str]:
    """What a row says that its pair does not, "kind: how". blind: the method reads no picture, so none may be named."""
    if (line.width, line.height) != pair.size:
        yield f"the picture has another size: {line.width} x {line.height} for {pair.size[0]} x {pair.size[1]}"
        return
    if line.region != pair.region.digest:
        yield "the region is another one, so boxes or masks were altered:"
        return
    if line.difficult != pair.difficult:
        yield "the difficult subset is another one:"
    unread = blind and pd.isna(line.picture)
    if pair.picture is not None and line.picture != pair.picture and not unread:
        yield f"the picture file is another one: {line.picture} for {pair.picture}"
    if abs(line.area - pair.region.area / (pair.size[0] * pair.size[1])) > 2 * SLACK:
        yield "the region's area is another one:"
    distance = pair.region.distance(line.x, line.y)  # 0 inside, and only there
    if line.inside != (distance == 0):
        yield f"the row was edited, its point lies {'outside' if line.inside else 'inside'}:"
    elif abs(line.distance - distance) > SLACK:
        yield "the row was edited, its distance is another one:"


def inconsistencies(rows: pd.DataFrame) -> list[str]:
    """What rows contradict themselves in, whatever the data."""
    near = rows["inside"] != (rows["distance"] == 0)
    large = rows["difficult"] & (rows["area"] > 0.25 + SLACK)
    order = (rows["cover5"] > rows["cover10"] + SLACK) | (rows["cover10"] > rows["cover20"] + SLACK)
    several = rows.groupby("key")[["width", "height", "picture"]].nunique(dropna=False).max(axis=1) > 1
    faults = {
        "says inside and a distance that contradict each other": near,
        "is difficult and too large for it": large,
        "covers less with more of the map": order,
        "has a picture that other rows of it describe otherwise": rows["key"].map(several),
    }
    return [
        f"{int(at.sum()):,} rows: {what}: {_few([' '.join(p) for p in rows.loc[at, ['key', 'label']].to_numpy()])}"
        for what, at in faults.items()
        if at.any()
    ]


def _few(names: list[str]) -> str:
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")
