"""Measures that need the network, for rows that exist: calls the method again, compares its map with the row's, and
writes what the measures observe beside the rows. It changes nothing else of the run."""

import contextlib
import math
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from eval.game.pointing import points_or_maps
from eval.game.protocol import Input
from eval.game.sample import Pair, Sample
from eval.game.smoothing import NONE, Smoothing
from eval.measures.map_measures import cases_of
from eval.measures.measure import Again, Case, Measure
from eval.networks.classifier import Classifier
from eval.records import observations
from eval.records.rows import Rows, read_rows
from eval.running.config import instantiate
from eval.running.evaluation import Entry, Price
from eval.running.failures import Failures
from eval.running.identity import measure_identity
from eval.running.log import Log
from eval.running.method_call import Caller, seed_for
from eval.running.network_guard import Guard
from eval.running.settings import plain, protocol_of


@dataclass
class Request:
    """A measure to be observed for a run. part: see `observations.Observations`; shown: the input at which the network
    is measured; done: pairs (key, label) that have an observation."""

    measure: Measure
    part: dict
    shown: Input
    folder: Path
    done: set[tuple[str, str]]


@dataclass(frozen=True)
class Built:
    """A measure, what decides its observations beside the run, and the input at which it shows pictures to the
    network: the protocol's for all methods, unless its setting `input` names another one."""

    measure: Measure
    part: dict
    shown: Input


def build_measures(cfg: DictConfig) -> dict[str, Built]:
    """The measures of the config's `measure` by name; what cannot be known about one is printed."""
    built = {}
    usual = protocol_of(cfg).input
    for name, given in (cfg.get("measure") or {}).items():
        settings = _own(given)
        shown = usual.of_method(plain(given.get("input")))
        measure = instantiate(settings)
        if not isinstance(measure, Measure):
            raise ValueError(
                f"measure={name}: {settings._target_} makes a {type(measure).__name__}, which has not all of name, "
                "version, fields, scores and observe (eval/measures/README.md)"
            )
        if reserved := set(measure.fields) & {*observations.OWN, *observations.JOINED.values()}:
            raise ValueError(f"measure={name}: every observation has a field {min(reserved)!r} already; rename its own")
        part, notes = measure_identity(settings, measure)
        for note in notes:
            print(f"{name}: {note}")
        if shown != usual:
            part["input"] = {key: value for key, value in asdict(shown).items() if value != asdict(usual)[key]}
        built[str(name)] = Built(measure, part, shown)
    return built


def scores_of(cfg: DictConfig) -> list[str]:
    """Of each measure of the config the score that bears its name, or its first."""
    measures = [instantiate(_own(given)) for given in (cfg.get("measure") or {}).values()]
    named = [(each.name, [score.name for score in each.scores]) for each in measures]
    return [name if name in scores else scores[0] for name, scores in named]


def _own(given: DictConfig) -> DictConfig:
    """The settings that the measure's own callable takes: its input is the suite's to show."""
    return OmegaConf.create({key: value for key, value in plain(given).items() if key != "input"})


def requests_of(run: Path, built: Mapping[str, Built], network: dict | None) -> list[Request]:
    """Each measure's place beside a run, and what is there; network: of a method that reads none."""
    requests = []
    for measure, part, shown in ((each.measure, each.part, each.shown) for each in built.values()):
        place = observations.folder(run, part, network)
        done: set[tuple[str, str]] = set()
        if place.exists() and len(lines := observations.frame(read_rows(place), list(measure.fields), place)):
            done = set(zip(lines["key"], lines["label"], strict=True))
        requests.append(Request(measure, part, shown, place, done))
    return requests


def unobserved(
    requests: Sequence[Request], entries: Sequence[Entry], classes: Sequence[str], rows: Container | None = None
) -> int:
    """How many pairs of `entries` lack an observation; rows: only of these pairs (key, label)."""
    names = [(sample.key, classes[pair.label]) for _, sample, pairs in entries for pair in pairs]
    return sum(any(name not in each.done for each in requests) for name in names if rows is None or name in rows)


@dataclass
class Measuring:
    """How the rows of one run are observed. method: built; blind: it reads no pixels; pixels: what it is given; unit:
    the protocol's input, a pass of which is the unit of a price; the rest as `Evaluation`."""

    method: Callable
    blind: bool
    classifier: Classifier
    pixels: Input
    unit: Input
    classes: Sequence[str]
    seed: int
    rows: Mapping[tuple[str, str], dict]
    on_error: str = "stop"
    sync: str = "picture"
    shard: tuple[int, int] | None = None
    log: Log | None = None
    smoothing: Smoothing = NONE

    def run(self, requests: Sequence[Request], entries: Sequence[Entry], network: dict | None,
            device: str) -> tuple[int, list[tuple[str, str]]]:  # fmt: skip
        """Observe the pairs of `entries` that have a row; (pairs observed now, (key, message) of pictures that
        failed)."""
        todo = [(sample, left) for _, sample, pairs in entries if (left := self._left(sample, pairs, requests))]
        if not todo:
            return 0, []
        for each in requests:  # before its first line: no observation is without what made it
            observations.describe(each.folder, each.part, network, list(each.measure.fields), device)
        with contextlib.ExitStack() as opened:
            files = [opened.enter_context(Rows(each.folder, self.shard, self.sync)) for each in requests]
            log = opened.enter_context(self.log or Log(total=sum(len(pairs) for _, pairs in todo)))
            caller = Caller(self.method, say=lambda text: log.note(text, terminal=True))
            failures = Failures(log, files, self.on_error, self.classes)
            guard = Guard(self.classifier, log.title or "under test")
            for sample, pairs in todo:
                try:
                    rows = self._picture(sample, pairs, requests, _again(caller))
                except Exception as error:
                    failures.note(sample, pairs, error)
                    continue
                finally:
                    guard.check()
                for lines, file in zip(rows, files, strict=True):
                    if lines:
                        file.append(lines)
                log.advance(len(pairs))
            guard.check(values=True)
        lost = {key for key, _ in failures.failed}
        return sum(len(pairs) for sample, pairs in todo if sample.key not in lost), failures.failed

    def _left(self, sample: Sample, pairs: list[Pair], requests: Sequence[Request]) -> list[Pair]:
        named = [(pair, (sample.key, self.classes[pair.label])) for pair in pairs]
        return [pair for pair, name in named if name in self.rows and any(name not in each.done for each in requests)]

    def _picture(
        self, sample: Sample, pairs: list[Pair], requests: Sequence[Request], again: Again
    ) -> list[list[dict]]:
        """Each measure's new lines."""
        given = self.pixels.pixels(sample.image).to(self.classifier.device)
        digest = self.rows[sample.key, self.classes[pairs[0].label]]["picture"]
        if digest and sample.file_digest != digest:
            raise ValueError("the picture file is another one than the row was made on")
        seed = seed_for(self.seed, sample.key)
        regions = [sample.region(pair.label) for pair in pairs]
        targets = [pair.label for pair in pairs]
        answer = again(sample if self.blind else given, targets, seed)
        cases = [
            replace(case, target=target, classifier=self.classifier, seed=seed, own=None if self.blind else given,
                    method=None if self.blind else again)
            for case, target in zip(cases_of(answer, sample.size, regions, self.smoothing), targets, strict=True)
        ]  # fmt: skip
        names = [(sample.key, self.classes[pair.label]) for pair in pairs]
        for name, case in zip(names, cases, strict=True):
            self._same(name, case)
        width, height = self.unit.size(*sample.size)
        images = {self.pixels: given}  # by input
        rows = []
        for each in requests:
            new = [(name, case) for name, case in zip(names, cases, strict=True) if name not in each.done]
            if new and each.shown not in images:
                images[each.shown] = each.shown.pixels(sample.image).to(self.classifier.device)
            new = [(name, replace(case, image=images[each.shown])) for name, case in new]
            rows.append(self._lines(each.measure, new, width * height) if new else [])
        return rows

    def _same(self, name: tuple[str, str], case: Case) -> None:
        """ValueError where the method's map is another one than the row's."""
        row = self.rows[name]
        if (row["x"], row["y"]) != case.point or row["constant"] != bool(case.heat and case.heat.constant):
            raise ValueError(
                f"class {name[1]}: the point is {case.point} now, and was ({row['x']}, {row['y']}) when the row was "
                "made, so nothing can be observed about that row. Another version of a library or another machine "
                "can move a point; remove the run (python -m scripts.runs remove) to evaluate it anew"
            )

    def _lines(self, measure: Measure, new: list[tuple[tuple[str, str], Case]], area: float) -> list[dict]:
        price = Price(self.classifier, area)
        try:
            fields = measure.observe([case for _, case in new])
        except ValueError as error:
            raise ValueError(f"measure {measure.name}: {error}") from error
        price.stop(1)
        if len(fields) != len(new):
            raise ValueError(f"measure {measure.name} observed {len(fields)} of {len(new)} cases")
        cost = price.of(len(new))
        lines = []
        for (name, case), observed in zip(new, fields, strict=True):
            if set(observed) != set(measure.fields):
                names = [", ".join(sorted(each)) for each in (observed, measure.fields)]
                raise ValueError(f"measure {measure.name} observed {names[0]}, and states the fields {names[1]}")
            for field, value in observed.items():
                _finite(value, f"measure {measure.name}: {field} of class {name[1]}")
            line = {"key": name[0], "label": name[1], "x": case.point[0], "y": case.point[1]}
            lines.append(line | observed | {"seconds": cost["seconds"], "forwards": cost["forwards"]})
        return lines


def _again(caller: Caller) -> Again:
    def again(image: Any, targets: Sequence[int], seed: int) -> np.ndarray:
        (answer,) = caller([image], [torch.tensor(list(targets))], [seed])
        if isinstance(answer, Exception):
            raise answer
        return points_or_maps(answer, len(targets))

    return again


def _finite(value: Any, what: str) -> None:
    for each in value if isinstance(value, list) else [value]:
        if each is not None and type(each) not in (float, int, bool, str):
            raise ValueError(f"{what} holds a {type(each).__name__}: plain values are floats, ints, bools, texts, None")
        if isinstance(each, float) and not math.isfinite(each):
            raise ValueError(f"{what} is not finite")
