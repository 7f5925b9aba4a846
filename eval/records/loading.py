"""Finished or unfinished runs read back from disk: their rows as a frame, and names that tell them apart."""

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from eval.records import columnar, run_folder
from eval.records.observations import OWN, Observations, joined, of_run, written
from eval.records.rows import read_failures, read_rows
from eval.records.schema import FIELDS, check
from eval.records.stacked import Batch, Part
from eval.records.wording import differing


@dataclass(eq=False)
class Run:
    """One folder of rows with its run.json.

    info: run.json. variant: the settings that tell this run from others of the same method on the same data, e.g.
    "n=5"; empty where there is no other. shared_label: another method has the same label. seeds: the runs that this one
    stands for, itself among them, where they differ in the seed alone (`pool`); else empty. Rows are read at first use.
    """

    folder: Path
    info: dict
    variant: str = field(default="", compare=False)
    shared_label: bool = field(default=False, compare=False)
    seeds: tuple["Run", ...] = ()

    @property
    def dataset(self) -> str:
        """The data set's name."""
        return self.info["dataset"]

    @property
    def model(self) -> str | None:
        """The network's name; None for a method that reads neither network nor pixels."""
        return self.info["model"]

    @property
    def method(self) -> str:
        """The method's name, with the variant where there is more than one: "gpnncam [n=5]"."""
        return self._varied(self.info["method"])

    @property
    def label(self) -> str:
        """The same for readers: "GPNN-CAM [n=5]"."""
        label, name = self.info["label"], self.info["method"]
        label = self._varied(f"{label} ({name})" if self.shared_label and label != name else label)
        return f"{label} ({len(self.seeds)} seeds)" if self.seeds else label

    def _varied(self, name: str) -> str:
        return f"{name} [{self.variant}]" if self.variant else name

    @property
    def usual_network(self) -> bool:
        """Whether the network is the one that the model's name means for this data set, so that published numbers
        of that name are about it: not, for example, an ImageNet network on VOC."""
        model, dataset = self.info["config"].get("model") or {}, self.info["config"].get("dataset") or {}
        return model.get("class_map") is None and model.get("variant") in (None, dataset.get("domain"))

    @property
    def rows(self) -> pd.DataFrame:
        """All rows, one line per (picture, class) and seed, in the columns of `schema.FIELDS`; ValueError for a damaged
        file."""
        return self.part.rows

    @functools.cached_property
    def part(self) -> Part:
        """The same rows, in a batch with those of other runs where they were read together (`readable`)."""
        if self.seeds:
            return Batch.of(pd.concat([each.rows for each in self.seeds], ignore_index=True)).parts()[0]
        return Batch.of(read_frame(self.folder)).parts()[0]

    @property
    def pictures(self) -> int:
        """How many pictures were evaluated, once for each seed that has it: sums over rows are divided by it."""
        return sum(each.part.pictures for each in self.seeds or (self,))

    @functools.cached_property
    def observations(self) -> list[Observations]:
        """What measures that need the network observed; ValueError names a folder that cannot be read."""
        return [one for each in self.seeds for one in each.observations] if self.seeds else of_run(self.folder)

    def observed(self, what: str, model: str) -> pd.DataFrame:
        """The rows that a measure observed, with its fields, see `observations.joined`.

        what: the measure's name and settings as `Rule.observed` writes them. model: the network's name, which tells
        the observations about a method that reads none apart. ValueError where two networks bear that name.
        """
        if self.seeds:
            return pd.concat([each.observed(what, model) for each in self.seeds], ignore_index=True)
        if (what, model) not in self._joined:
            parts = [each for each in self.observations if written(each.part) == what and each.network in (None, model)]
            if len(parts) > 1:
                names = ", ".join(each.folder.name for each in parts)
                raise ValueError(f"{self.folder}: {names} are about different networks of the name {model}")
            lines = parts[0].lines if parts else pd.DataFrame(columns=list(OWN))
            origin = parts[0].folder if parts else self.folder
            self._joined[what, model] = joined(self.rows, lines, origin)
        return self._joined[what, model]

    @functools.cached_property
    def _joined(self) -> dict[tuple[str, str], pd.DataFrame]:
        return {}

    @functools.cached_property
    def failures(self) -> dict[str, str]:
        """{picture: message} of the pictures that failed and have no row since."""
        if self.seeds:
            return {key: message for each in self.seeds for key, message in each.failures.items()}
        return read_failures(self.folder, lambda: self.rows["key"])


def read_frame(folder: Path) -> pd.DataFrame:
    """All rows of a run's folder as `frame` gives them; ValueError names what is damaged."""
    table = columnar.read(folder)
    # What the fast reader does not understand the exact one names, or reads.
    return columnar.frame(table) if table is not None else frame(read_rows(folder), folder)


def frame(rows: list[dict], origin: object) -> pd.DataFrame:
    """Rows as a frame in the columns of eval/records/schema.py; ValueError names a row that is none."""
    check(rows, origin)
    table = pd.DataFrame(rows, columns=list(FIELDS))
    for name, kept in FIELDS.items():
        if kept.kind in (float, int) and (kept.empty or not rows):
            table[name] = table[name].astype(float)
        elif kept.kind is bool:
            table[name] = table[name].astype(bool)
        elif kept.kind is str:
            table[name] = table[name].astype("str")
    return table


@dataclass(frozen=True)
class Unreadable:
    """Something under records/ that is no run that can be read. why: with the remedy."""

    folder: Path
    why: str


def load_runs(records: Path) -> tuple[list[Run], list[Unreadable]]:
    """(runs, what else lies there) of a folder, e.g. results/records. FileNotFoundError if there is no run at all."""
    runs_, bad = all_in(records)
    if not runs_:
        listed = "".join(f"\n  {each.folder.name}: {each.why}" for each in bad)
        raise FileNotFoundError(
            f"{records} holds no run; `python run.py method=... results=DIR` makes DIR/records{listed}"
        )
    return runs_, bad


def all_in(records: Path) -> tuple[list[Run], list[Unreadable]]:
    """The same of a folder that may hold no run, or not exist."""
    runs_: list[Run] = []
    bad: list[Unreadable] = []
    for folder in sorted(records.iterdir()) if records.is_dir() else ():
        if folder.name.startswith("."):
            continue
        try:
            runs_.append(load_run(folder))
        except (ValueError, NotADirectoryError) as error:
            bad.append(Unreadable(folder, str(error)))
    return runs_, bad


def readable(runs_: Iterable[Run], bad: list[Unreadable]) -> list[Run]:
    """The runs whose rows can be read too; the others join `bad`."""
    good = []
    runs_ = list(runs_)
    unread = {run.folder: run for run in runs_ if "part" not in vars(run)}
    for folder, part in columnar.parts(unread):
        if part is not None:
            unread[folder].part = part
    for run in runs_:
        try:
            if len(run.part) > (pairs := run.info["pairs"]["all"]) and not run.info["unreadable"] and not run.seeds:
                raise ValueError(
                    f"{run.folder} holds {len(run.part):,} rows, and its data set has {pairs:,} pairs: some left the "
                    "annotations since; remove the run (python -m scripts.runs remove) and evaluate it anew"
                )
            run.failures  # noqa: B018 - reading is the check
            good.append(run)
        except (ValueError, OSError) as error:
            bad.append(Unreadable(run.folder, str(error)))
    return good


def load_run(folder: Path) -> Run:
    """One run. ValueError says what is wrong with its run.json."""
    return Run(folder, run_folder.read(folder / "run.json"))


def pool(runs_: Iterable[Run]) -> list[Run]:
    """The runs, those that differ in the seed alone as one that stands for all of them (`Run.seeds`)."""
    groups: dict[str, list[Run]] = {}
    for run in runs_:
        who = {name: value for name, value in run.info["identity"].items() if name != "seed"}
        groups.setdefault(json.dumps(who, sort_keys=True), []).append(run)
    return [
        group[0] if len(group) == 1 else Run(group[0].folder, group[0].info, seeds=tuple(sorted(group, key=seed)))
        for group in groups.values()
    ]


def seed(run: Run) -> int:
    """The seed that the run was started with."""
    return run.info["identity"]["seed"]


def tell_apart(group_of_runs: Iterable[Run]) -> None:
    """Set `variant` of runs that would bear the same name, by the settings in which they differ.

    A method's settings are compared over all data sets and networks, so that a variant has the same name everywhere;
    other settings among the runs of one data set, network, input and label.
    """
    methods: dict[str, list[Run]] = {}
    places: dict[tuple, list[Run]] = {}
    labels: dict[str, set[str]] = {}
    for run in (all_runs := list(group_of_runs)):
        run.variant = ""
        labels.setdefault(run.info["label"], set()).add(run.info["method"])
        methods.setdefault(run.info["method"], []).append(run)
        place = run.dataset, run.model, run.info["method"], run.info["label"], json.dumps(run.info["identity"]["input"])
        places.setdefault(place, []).append(run)
    for run in all_runs:
        run.shared_label = len(labels[run.info["label"]]) > 1
    for group in methods.values():
        _name(group, [{"method": run.info["identity"]["method"]} for run in group])
    for group in places.values():
        names = ("dataset", "model", "device", "seed")
        _name(group, [{name: run.info["identity"][name] for name in names} for run in group])


def _name(group: list[Run], settings: list[dict]) -> None:
    for run, texts in zip(group, differing(settings), strict=True):
        run.variant = ", ".join([*([run.variant] if run.variant else []), *texts])
