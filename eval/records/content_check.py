"""What rows hold of the pictures and regions they were made on, compared with those that are there now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from eval.game.sample import Sample
from eval.records.loading import load_runs, readable


@dataclass
class Known:
    """pictures: {key: {digest of a picture file: runs that hold it}}. regions: the same by (key, class), of the
    region's digest. labels: {key: classes}. basis: what the comparison rests on, in words."""

    pictures: dict[str, dict[str, set[str]]] = field(default_factory=dict)
    regions: dict[tuple[str, str], dict[str, set[str]]] = field(default_factory=dict)
    labels: dict[str, set[str]] = field(default_factory=dict)
    basis: str = ""

    @classmethod
    def read(cls, records: Path, dataset: str) -> Known:
        """Of all runs on a data set of that name; ValueError if there is none."""
        runs, bad = load_runs(records)
        runs = readable([run for run in runs if run.dataset == dataset], bad)
        if not runs:
            raise ValueError(f"{records} holds no run on {dataset} whose rows could be compared")
        known = cls()
        for run in runs:
            name = run.folder.name
            for key, label, picture, region in run.rows[["key", "label", "picture", "region"]].itertuples(index=False):
                held = known.pictures.setdefault(key, {})
                if isinstance(picture, str):
                    held.setdefault(picture, set()).add(name)
                known.labels.setdefault(key, set()).add(label)
                known.regions.setdefault((key, label), {}).setdefault(region, set()).add(name)
        digested = sum(bool(digests) for digests in known.pictures.values())
        known.basis = (
            f"compared with {len(known.regions):,} pairs of {len(known.pictures):,} pictures in the rows of "
            f"{len(runs)} runs, which hold digests of {digested:,} picture files"
        )
        return known

    def differences(self, sample: Sample, classes: Sequence[str], digest: str | None) -> list[tuple[str, str, str]]:
        """(key, kind, message) of what differs about a picture; digest: its file's, None where no file holds it."""
        differences = []
        for held, names in self.pictures.get(sample.key, {}).items():
            if held != digest:
                now = f"{digest} now" if digest else "no file now"
                differences.append((sample.key, "picture", f"digest {held} in the rows, {now}: {_named(names)}"))
        there = {classes[index] for index in sample.labels.tolist()}
        for label in sorted(self.labels.get(sample.key, set()) - there):
            differences.append((sample.key, "gone", f"the rows are about {label}, the annotations do not have it"))
        for label in sorted(there):
            held_regions = self.regions.get((sample.key, label), {})
            now = sample.region(list(classes).index(label)).digest if held_regions else ""
            for held, names in held_regions.items():
                if held != now:
                    differences.append(
                        (sample.key, "region", f"of {label}: {held} in the rows, {now} now: {_named(names)}")
                    )
        return differences

    def missing(self, keys: Iterable[str]) -> list[tuple[str, str, str]]:
        """(key, kind, message) of the pictures that rows are about and the data set does not have."""
        lost = self.pictures.keys() - set(keys)
        return [(key, "gone", "the rows are about it, the data set does not have it") for key in sorted(lost)]


def _named(names: set[str]) -> str:
    first, *more = sorted(names)
    return first + (f" and {len(more)} more runs" if more else "")
