"""Which pairs there are, and which are left to evaluate: rows that exist are compared with what is there now."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from eval.files.words import several
from eval.game.sample import Pair, Sample, pairs

# Picture files that are read again whenever rows are reused: enough to find another folder of pictures under the same
# annotations, little enough to cost nothing. `scripts.check_data` compares all of them.
COMPARED = 256


@dataclass(frozen=True)
class Plan:
    """Every pair of a data set, in its order, from the annotations alone.

    entries: (index, sample, pairs) of every picture that has at least one pair; samples are not decoded.
    failed: (key or index, message) of pictures whose annotation could not be read.
    unscored: pairs (key, label) that the annotations have and that were left out of the entries. ranks: each picture's
    place in the order of the SHA-256 of their keys, whatever a network has outputs for: what `draw` takes the first of.
    """

    entries: list[tuple[int, Sample, list[Pair]]]
    failed: list[tuple[str, str]]
    unscored: frozenset[tuple[str, int]] = frozenset()
    ranks: Mapping[str, int] = field(default_factory=dict)

    def scorable(self, outputs: Sequence[Sequence[int]]) -> "Plan":
        """Without the pairs of classes that no output of the network stands for (outputs: `Classifier.outputs`)."""
        kept = [(index, sample, [p for p in todo if outputs[p.label]]) for index, sample, todo in self.entries]
        unscored = {(sample.key, p.label) for _, sample, todo in self.entries for p in todo if not outputs[p.label]}
        return replace(self, entries=[entry for entry in kept if entry[2]], unscored=self.unscored | unscored)

    def count(self, subset: str = "all") -> int:
        """How many pairs of a subset, all or diff."""
        return sum(subset == "all" or pair.difficult for _, _, todo in self.entries for pair in todo)


def plan(dataset: Any, on_error: str = "stop") -> Plan:
    """Read all annotations once. ValueError if the data set has no pair, or two pictures of one key.

    on_error: "stop" raises at the first annotation that cannot be read, "skip" notes it in `failed`.
    """
    entries: list[tuple[int, Sample, list[Pair]]] = []
    failed: list[tuple[str, str]] = []
    seen: set[str] = set()
    for index in range(len(dataset)):
        try:
            sample = dataset[index]
            _check_key(sample.key)
            present = list(pairs(sample))
        except (ValueError, OSError) as error:
            if on_error == "stop":
                raise
            failed.append((_name(dataset, index), str(error)))
            continue
        if sample.key in seen:
            raise ValueError(f"the data set has two pictures with the key {sample.key!r}")
        seen.add(sample.key)
        if present:
            entries.append((index, sample, present))
    if not entries:
        why = f"; {several(len(failed), 'annotation')} cannot be read, the first: {failed[0][1]}" if failed else ""
        raise ValueError(f"the data set is empty: no pair in {len(dataset)} pictures{why}")
    order = sorted(seen, key=lambda key: hashlib.sha256(key.encode()).digest())
    return Plan(entries, failed, ranks={key: rank for rank, key in enumerate(order)})


def _name(dataset: Any, index: int) -> str:
    keys = getattr(dataset, "keys", None)
    return str(keys[index]) if keys is not None and not callable(keys) else f"picture {index}"


def _check_key(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the picture name {key!a} is not UTF-8; rename the file") from None


def within(
    planned: Plan, subset: str, limit: int | None, shard: tuple[int, int] | None, draw: int | None = None
) -> list[tuple[int, Sample, list[Pair]]]:
    """The entries of the subset's pairs in the first `limit` pictures, in the shard, among `draw` pictures that the
    hash of their keys draws; see `select`."""
    return [
        (index, sample, kept)
        for index, sample, present in planned.entries
        if (limit is None or index < limit)
        and (shard is None or index % shard[1] == shard[0] - 1)
        and (draw is None or planned.ranks[sample.key] < draw)
        and (kept := [pair for pair in present if subset == "all" or pair.difficult])
    ]


def select(
    planned: Plan,
    subset: str,
    limit: int | None,
    shard: tuple[int, int] | None,
    rows: Sequence[dict],
    classes: Sequence[str],
    draw: int | None = None,
) -> list[tuple[int, Sample, list[Pair]]]:
    """The entries still to do: the pairs of `within` that have no row.

    A shard takes every n-th picture of the data set, so all finish at about the same time, and an annotation that one
    process cannot read moves no other picture to another shard. ValueError if the rows were made on other content:
    another region or size of a pair, another picture file, a picture or pair that is not there.
    """
    done = {(row["key"], row["label"]): row for row in rows}
    _check_pairs(planned, done.keys(), classes)
    _check_digests(planned, rows)
    left = []
    for index, sample, present in within(planned, "all", limit, shard, draw):
        todo = []
        for pair in present:
            row = done.get((sample.key, classes[pair.label]))
            if row is None:
                if subset == "all" or pair.difficult:
                    todo.append(pair)
            elif [row["width"], row["height"], row["difficult"], row["region"]] != [
                *sample.size, pair.difficult, sample.region(pair.label).digest,
            ]:  # fmt: skip
                raise ValueError(
                    f"the rows of picture {sample.key}, class {row['label']}, were made on other annotations than "
                    f"those that are there now; {BESIDE}"
                )
        if todo:
            left.append((index, sample, todo))
    return left


BESIDE = (
    "rows of two contents never mix: give the data as they are now a name of their own (dataset.name=NAME makes a new "
    "run beside the old one), or remove the old run (python -m scripts.runs remove)"
)


def _check_pairs(planned: Plan, done: Iterable[tuple[str, str]], classes: Sequence[str]) -> None:
    """ValueError names a row of a picture or of a pair that the data set does not have (any more)."""
    known = {(sample.key, classes[pair.label]) for _, sample, pairs in planned.entries for pair in pairs}
    known |= {(key, classes[label]) for key, label in planned.unscored}
    if not (strange := sorted(set(done) - known)):
        return
    present = {key for key, _ in known}
    gone = {key for key, _ in strange} - present
    if gone and not planned.failed:
        raise ValueError(
            f"not in this data set: {several(len(gone), 'picture')} of the run's rows, {min(gone)} among them; {BESIDE}"
        )
    if left := [pair for pair in strange if pair[0] in present]:
        raise ValueError(
            f"{several(len(left), 'pair is', 'pairs are')} in the run's rows and not in the annotations any more, "
            f"picture {left[0][0]} with class {left[0][1]} among them; {BESIDE}"
        )


def _check_digests(planned: Plan, rows: Sequence[dict]) -> None:
    present = {sample.key: sample for _, sample, _ in planned.entries}
    known = {row["key"]: row["picture"] for row in rows if row["picture"] and row["key"] in present}
    keys = list(known)
    for place in np.unique(np.linspace(0, len(keys) - 1, min(COMPARED, len(keys))).round().astype(int)):
        key = keys[place]
        if (digest := present[key].file_digest) != known[key]:
            gone = "is not there any more" if digest is None else "is another one now"
            raise ValueError(f"the picture file of {key}, which the rows were made on, {gone}; {BESIDE}")
