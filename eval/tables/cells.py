"""From runs to the cells of a table: the rows that a cell counts, its average, interval, price and published number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from eval.records.loading import Run
from eval.tables.counted import Scope, Selected, scope_of, selected
from eval.tables.published import Published, published
from eval.tables.resampling import RESAMPLES, Kinds, average, kinds
from eval.tables.rules import Changes, Rule, fits, observed_rules, rules_of
from eval.tables.statistics import intervals

SUBSETS = ("all", "diff")


@dataclass(frozen=True)
class Cell:
    """One number of the table, and all that is needed to believe it.

    model: the network's name; "" for a method that reads no network, where no network has a column. accuracy: the
    average of the rule's score over n pairs; nan where the method has no such score. low, high: its 95 % interval.
    rows, pairs: rows of the subset that exist, and pairs that the data set has in it: fewer rows are incomplete.
    unreadable: pictures whose annotation could not be read, so that their pairs are unknown. unranked: rows left out of
    a top-k cell because no run knows the network's rank. without: rows left out because they have no value of the
    score. failed: pictures without a row because they failed. constant: rows whose map is constant. seconds, forwards:
    per picture. memory_mb: peak. measure_seconds, measure_forwards: what the measure took per pair; nan where rows have
    all it needs. seeds: the average of each run that is pooled. chosen: the rows that count.
    """

    run: Run
    rule: Rule
    subset: str
    model: str
    n: int
    accuracy: float
    low: float
    high: float
    rows: int
    pairs: int
    unreadable: int
    unranked: int
    without: int
    failed: int
    constant: int
    seconds: float
    forwards: float
    memory_mb: float
    measure_seconds: float
    measure_forwards: float
    seeds: tuple[float, ...]
    published: Published | None
    chosen: Selected = field(repr=False, compare=False)

    @property
    def counted(self) -> pd.DataFrame:
        """The rows that count."""
        return self.chosen.counted

    @property
    def values(self) -> np.ndarray:
        """(n,) the score of each row that counts."""
        return self.chosen.values

    @property
    def complete(self) -> bool:
        """Whether all pairs of the cell are counted."""
        return self.rows == self.pairs and not self.unranked and not self.unreadable

    @property
    def delta(self) -> float | None:
        """Ours minus published."""
        return None if self.published is None or np.isnan(self.accuracy) else self.accuracy - self.published.value

    @property
    def column(self) -> tuple[str, str, str]:
        """(data set, network, subset)."""
        return self.run.dataset, self.model, self.subset


def table_cells(
    runs: list[Run],
    changes: Changes,
    rule: Rule | None = None,
    subsets: Sequence[str] = SUBSETS,
    resamples: int = RESAMPLES,
) -> list[Cell]:
    """The cells of all runs.

    rule: score the runs that fit its protocol's input by it; None: each run by the protocols of its starts, with
    `changes`. A method that reads no network stands in the column of every network that its data set has under that
    protocol, on the pairs whose classes that network has.
    resamples: of the bootstrap; 0 leaves the intervals out (nan).
    """
    cells = []
    for each, scored in by_rule(runs, changes, rule):
        for run in scored:
            price = Price.of(run)
            for model in models_of(run, scored):
                scope = scope_of(run, model, scored, each.top_k)
                cells += [
                    _cell(run, each, subset, model, scope, price)
                    for subset in subsets
                    if _covers(run, each, model, subset)
                ]
    bounded = [cell for cell in cells if resamples and np.isfinite(cell.accuracy)]
    ranges = intervals([_kinds(cell.chosen, cell.rule) for cell in bounded], resamples=resamples)
    bounds = {id(cell): each for cell, each in zip(bounded, ranges, strict=True)}
    return [
        replace(cell, low=bounds[id(cell)][0], high=bounds[id(cell)][1]) if id(cell) in bounds else cell
        for cell in cells
    ]


def by_rule(runs: list[Run], changes: Changes, rule: Rule | None = None) -> list[tuple[Rule, list[Run]]]:
    """The runs that each rule scores; arguments as `table_cells`."""
    groups: dict[str, tuple[Rule, list[Run]]] = {}
    wanted = [(run, each) for run in runs for each in ([rule] if rule else rules_of(run, changes))]
    for run, each in observed_rules([(run, each) for run, each in wanted if fits(run, each.protocol)]):
        groups.setdefault(each.label, (each, []))[1].append(run)
    return list(groups.values())


def models_of(run: Run, others: list[Run]) -> list[str]:
    """The network columns in which a run stands."""
    if run.model is not None:
        return [run.model]
    return sorted({other.model for other in others if other.model and other.dataset == run.dataset}) or [""]


def _covers(run: Run, rule: Rule, model: str, subset: str) -> bool:
    """Whether a run is about a subset: one that holds the difficult pairs alone says nothing about all pairs."""
    difficult = rule.rows(run, model)["difficult"].to_numpy(bool) if rule.observed else run.part.column("difficult")
    there, count = run.info["pairs"], len(difficult)
    if subset not in there or not count:
        return False
    if subset == "diff":
        return bool(difficult.any())
    return not (there["all"] > count and there["all"] > there["diff"] and bool(difficult.all()))


@dataclass(frozen=True)
class Price:
    """What a run's rows cost: seconds, forwards: per picture. memory_mb: peak. They are those of all of its rows,
    whatever counts in a cell."""

    seconds: float
    forwards: float
    memory_mb: float

    @classmethod
    def of(cls, run: Run) -> Price:
        """The means over the pictures of all seeds."""
        pictures = max(1, run.part.pictures * max(1, len(run.seeds)))
        memory = run.part.column("memory_mb")
        known = memory[~np.isnan(memory)]
        # Each row holds an equal part of its picture's price: the sum over a picture's rows is the whole.
        seconds, forwards = (float(run.part.column(name).sum() / pictures) for name in ("seconds", "forwards"))
        return cls(seconds, forwards, float(known.max()) if len(known) else np.nan)


def _cell(run: Run, rule: Rule, subset: str, model: str, scope: Scope, price: Price) -> Cell:
    chosen = selected(run, rule, subset, model, scope)
    values = chosen.values
    finite = bool(len(values)) and bool(np.isfinite(values).all())
    number = None
    if rule.published and run.usual_network:
        number = published(run.dataset, subset, model, run.info["method"], rule.protocol.name)
    seconds, forwards = _price_of_measure(run, rule, model)
    return Cell(
        run=run,
        rule=rule,
        subset=subset,
        model=model,
        n=len(chosen.pairs) if run.seeds else len(values),
        accuracy=average(values, _classes(chosen, rule)) if finite else np.nan,
        low=np.nan,
        high=np.nan,
        rows=chosen.rows,
        pairs=scope.pairs[subset],
        unreadable=run.info["unreadable"],
        unranked=chosen.unranked,
        without=chosen.without,
        failed=len(run.failures),
        constant=chosen.constant,
        seconds=price.seconds,
        forwards=price.forwards,
        memory_mb=price.memory_mb,
        measure_seconds=seconds,
        measure_forwards=forwards,
        seeds=tuple(
            average(one.values, _classes(one, rule))
            for one in (selected(each, rule, subset, model, scope) for each in run.seeds)
            if len(one.values) and np.isfinite(one.values).all()
        ),
        published=number,
        chosen=chosen,
    )


def _price_of_measure(run: Run, rule: Rule, model: str) -> tuple[float, float]:
    """Seconds and forward passes a pair."""
    if not rule.observed:
        return np.nan, np.nan
    rows = rule.rows(run, model)
    return float(rows["measure_seconds"].mean()), float(rows["measure_forwards"].mean())


def _kinds(chosen: Selected, rule: Rule) -> Kinds:
    return kinds(chosen.column("key"), chosen.values, _classes(chosen, rule))


def _classes(chosen: Selected, rule: Rule) -> pd.Series | None:
    return chosen.column("label") if rule.protocol.average == "class" else None
