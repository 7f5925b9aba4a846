"""How rows are scored: a protocol's hit rule or another measure, which pairs count, which average. No rerun needed."""

import json
import math
from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from eval.game.protocol import Input, Protocol, named_protocol
from eval.measures.measure import Score
from eval.records.loading import Run
from eval.records.observations import written
from eval.records.wording import as_words, differing
from eval.tables.scores import SCORES

SPANS = {"share": 1.0, "correlation": 2.0, "similarity": 2.0}  # by a score's unit: between its least and highest value


@dataclass(frozen=True)
class Rule:
    """A protocol, a score and the pairs that count.

    top_k: only pairs whose class is among the network's k highest outputs; None: all. observed: where the score is made
    of a measure's observations, that measure with its settings (`observations.written`). setting: those that tell it
    from the same measure with others.
    """

    protocol: Protocol
    measure: str = "hit"
    top_k: int | None = None
    observed: str = ""
    setting: str = ""

    def __post_init__(self) -> None:
        self.score  # noqa: B018 - an unknown name is refused here
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top-k must be at least 1, not {self.top_k}")

    @property
    def label(self) -> str:
        """The protocol's name, with what was changed in it, and with a measure's settings where there are others:
        "paper [tolerance=30]", "paper [step=224]"."""
        return f"{self.protocol.label} [{self.setting}]" if self.setting else self.protocol.label

    @property
    def score(self) -> Score:
        """What the measure's name stands for."""
        return SCORES[self.measure]

    @property
    def span(self) -> float:
        """The largest difference that two values of a pair can have; nan: there is none."""
        return SPANS.get(self.score.unit, math.nan)

    @property
    def published(self) -> bool:
        """Whether this is a protocol as it is named, about all pairs: published numbers may stand beside it."""
        return self.label == self.protocol.name and self.measure == "hit" and self.top_k is None

    @property
    def words(self) -> str:
        """The rule in words."""
        what, protocol = self.score.what, self.protocol
        if self.measure == "hit":
            near = f"lies less than {protocol.tolerance:g} px from" if protocol.hit == "tolerance" else "lies in"
            what = f"share of pairs whose highest point {near} the region"
        if self.observed:
            part = json.loads(self.observed)
            build = {name: value for name, value in part["build"].items() if not name.startswith("_")}
            what += f" ({', '.join(as_words(build))})" if build else ""
        top = "" if self.top_k is None else f"; only classes in the network's top {self.top_k}"
        return f"{what}; mean over {'pairs' if protocol.average == 'pair' else 'classes'}{top}{self.price}"

    @property
    def price(self) -> str:
        """What a pass costs under an input of another side than the named protocol's, in words; "" under its own."""
        try:
            usual = named_protocol(self.protocol.name).input.side
        except FileNotFoundError:
            return ""
        side = self.protocol.input.side
        return "" if side == usual else f"; a pass at side {side} costs {(side / usual) ** 2:.2g} at side {usual}"

    def rows(self, run: Run, model: str) -> pd.DataFrame:
        """The run's rows that can be scored, in the column of network `model`."""
        return run.observed(self.observed, model) if self.observed else run.rows

    def values(self, rows: pd.DataFrame) -> np.ndarray:
        """(n,) float64: one value a row. NaN in all of them: the measure does not exist for this method; in some: they
        have none."""
        return self.score.value(rows, self.protocol)


@dataclass(frozen=True)
class Changes:
    """What the arguments of a table change in every protocol; None changes nothing."""

    tolerance: float | None = None
    average: str | None = None
    measure: str = "hit"
    top_k: int | None = None

    def applied(self, protocol: Protocol) -> Rule:
        """The rule of a protocol with these changes."""
        changed = protocol
        if self.tolerance is not None:
            if not self.tolerance > 0:
                raise ValueError(f"a hit is less than the tolerance away, so {self.tolerance:g} px counts nothing")
            changed = replace(changed, hit="tolerance", tolerance=self.tolerance)
        if self.average is not None:
            changed = replace(changed, average=self.average)
        return Rule(changed, self.measure, self.top_k)


def rules_of(run: Run, changes: Changes) -> list[Rule]:
    """The rules under which a run was started, as run.json lists them."""
    rules = []
    for settings in run.info["protocols"]:
        protocol = Protocol.from_settings(settings)
        if run.model is not None and asdict(protocol.input) != run.info["identity"]["input"]:
            protocol = replace(protocol, input=Input(**run.info["identity"]["input"]))
        rules.append(changes.applied(protocol))
    return rules


def own_side(rule: Rule, run: Run) -> Rule:
    """The rule with the named protocol's side where the run's is the one that its network's settings name."""
    protocol, side = rule.protocol, (run.info["config"].get("model") or {}).get("side")
    if side != protocol.input.side:
        return rule
    try:
        usual = named_protocol(protocol.name).input.side
    except FileNotFoundError:
        return rule
    return replace(rule, protocol=replace(protocol, input=replace(protocol.input, side=usual)))


def observed_rules(rules: list[tuple[Run, Rule]]) -> list[tuple[Run, Rule]]:
    """The same for scores of rows; for a score of a measure's observations, each run's rule for each of its settings.

    Numbers under different settings of a measure have different labels, and so never share a table.
    """
    pairs: list[tuple[Run, Rule, dict | None]] = []
    for run, rule in rules:
        measure = SCORES.measure_of(rule.measure)
        parts = {written(each.part): each.part for each in run.observations if each.name == measure} if measure else {}
        pairs += [(run, rule, part) for part in parts.values()] if measure else [(run, rule, None)]
    parts = {written(part): part for _, _, part in pairs if part}
    settings = dict(zip(parts, map(", ".join, differing(list(parts.values()))), strict=True))
    return [
        (run, replace(rule, observed=written(part), setting=settings[written(part)]) if part else rule)
        for run, rule, part in pairs
    ]


def fits(run: Run, protocol: Protocol) -> bool:
    """Whether the run's network saw what the protocol prescribes, so that it can be scored by its rules."""
    return run.model is None or run.info["identity"]["input"] == asdict(protocol.input)
