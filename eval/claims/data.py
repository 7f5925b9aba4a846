"""A claim's rows against what is known of its data set: pairs, sizes, regions, picture files and what they decide."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from eval.claims.rows_file import lines_of
from eval.datasets import known
from eval.datasets.known import Known, Pair
from eval.files.words import several
from eval.records.loading import Run

FEW = 3  # of the pairs at fault are named
SLACK = 1e-6


@dataclass(frozen=True)
class There:
    """The pairs that there are, and in which words. others: the set of which nobody here knows more than digests;
    pairs are then those of its pictures that lie here."""

    words: str
    pairs: dict[tuple[str, str], Pair]
    count: int
    others: Known | None = None


def shipped(dataset: dict) -> There | None:
    """What the project knows of a data set, by its identity, without having it."""
    found = known.known(dataset)
    if found is None:
        return None
    return There(f"known pairs of {found.name}", found.pairs, found.count, None if found.pairs else found)


def here(read: Any, dataset: dict) -> There:
    """The pairs of a data set that lies here; those of pictures that do not are the project's, where it knows them."""
    found: dict[tuple[str, str], Pair] = {}
    for index in range(len(read)):
        sample = read[index]
        found |= known.pairs_of(sample, read.classes, sample.file_digest)
    beside = shipped(dataset)
    pairs = (beside.pairs if beside else {}) | found
    others = beside.others if beside else None
    words = f"the data that lie here, {len(found):,} pairs" + (f", and of {others.name}" if others else "")
    return There(words, pairs, others.count if others else len(pairs), others)


def asked(pairs: Iterable[tuple[str, str]], info: dict) -> set[tuple[str, str]]:
    """Those of the pairs whose class the network of a run has an output for."""
    model = info["identity"]["model"]
    if not model or not model.get("outputs"):
        return set(pairs)
    classes = {name for name, each in zip(info["classes"], model["outputs"], strict=True) if each}
    return {pair for pair in pairs if pair[1] in classes}


def count(info: dict) -> int:
    """How many pairs a run should have: those that run.json says, or more that the project knows of."""
    there, model = shipped(info["identity"]["dataset"]), info["identity"]["model"]
    if there is None or (there.others and model and not all(model.get("outputs") or [True])):
        return info["pairs"]["all"]  # how many pairs the network is asked about is known of listed pairs alone
    return max(info["pairs"]["all"], there.count if there.others else len(asked(there.pairs, info)))


def completeness(run: Run) -> tuple[str, bool]:
    """(how many pairs a run holds, in words; whether these are all, or all difficult ones)."""
    info, all_, hard = run.info, len(run.rows), int(run.rows["difficult"].sum())
    there = count(info)
    whole = not info["unreadable"] and (all_ == there or all_ == hard == info["pairs"]["diff"])
    failed = f"{several(len(run.failures), 'picture')} failed" if run.failures else "no picture failed"
    unread = f", {several(info['unreadable'], 'annotation')} could not be read" if info["unreadable"] else ""
    return f"{all_:,} of {there:,} pairs ({failed}{unread})", whole


def disagreements(rows: pd.DataFrame, there: There, info: dict, partial: bool = False) -> list[str]:
    """What rows and data disagree about, a sentence a kind of fault. info: run.json. partial: pairs may be missing."""
    faults: dict[str, list[str]] = {}
    blind, others = info["identity"]["method"].get("blind", False), there.others
    names = ("key", "label", "width", "height", "difficult", "region")
    texts = known.texts(lines_of(rows, *names)) if others else [""] * len(rows)
    for line, text in zip(rows.astype(object).itertuples(index=False), texts, strict=True):
        wrong: Iterable[str] = ()
        if (pair := there.pairs.get((line.key, line.label))) is not None:
            wrong = _faults(line, pair, blind)
        elif others is None:
            wrong = ["is no pair of it"]
        elif others.marks is not None and known.mark(text) not in others.marks:
            wrong = ["is no pair of it, or has another size, region or difficult subset"]
        for what in wrong:
            faults.setdefault(what.partition(":")[0], []).append(f"{line.key} {line.label}{what.partition(':')[2]}")
    hard = bool(rows["difficult"].all()) and info["pairs"]["all"] > len(rows)
    wanted = {pair for pair in asked(there.pairs, info) if not hard or there.pairs[pair].difficult}
    lost = wanted - set(lines_of(rows, "key", "label"))
    if lost and not partial and not others:
        faults[f"has no row, of {len(wanted):,} pairs"] = [" ".join(pair) for pair in sorted(lost)]
    said = [f"{several(len(who), 'pair')}: {what}: {_few(who)}" for what, who in faults.items()]
    if others and len(rows) >= others.count and known.digest(texts) != others.digest:
        said.append(
            f"the {len(rows):,} rows are not about all {others.count:,} pairs of {others.name}, {others.digest}"
        )
    return said


def compared(rows: pd.DataFrame, there: There) -> tuple[int, str]:
    """(how many of the rows' pairs `disagreements` can tell from others, by what)."""
    files = sum(pair.picture is not None for pair in there.pairs.values())
    listed = sum(pair in there.pairs for pair in lines_of(rows, "key", "label")) if there.others else len(rows)
    how = f"regions and sizes of all, picture files of {files:,}"
    if there.others is None or listed == len(rows):
        return len(rows), how
    if there.others.marks is None and len(rows) < there.others.count:
        return listed, how
    return len(rows), f"{len(rows) - listed:,} by digests: no hits, distances and picture files of these"


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
    pictures = rows[["key", "width", "height", "picture"]].drop_duplicates()["key"]
    faults = {
        "says inside and a distance that contradict each other": near,
        "is difficult and too large for it": large,
        "covers less with more of the map": order,
        "has a picture that other rows of it describe otherwise": rows["key"].isin(pictures[pictures.duplicated()]),
    }
    return [
        f"{int(at.sum()):,} rows: {what}: {_few([' '.join(p) for p in rows.loc[at, ['key', 'label']].to_numpy()])}"
        for what, at in faults.items()
        if at.any()
    ]


def _few(names: list[str]) -> str:
    return ", ".join(names[:FEW]) + (", ..." if len(names) > FEW else "")
