"""From runs to the cells of a table: the rows that a cell counts, its average, interval, price and published number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from eval.records.loading import Run
from eval.tables.counted import Scope, Selected, scope_of, selected
from eval.tables.price import Price
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
    expected: pairs that a complete cell counts; None for a top-k cell of which no run of its column knows it.
    unreadable: pictures whose annotation could not be read, so that their pairs are unknown. unranked: rows left out of
    a top-k cell because no run knows the network's rank. without: rows left out because they have no value of the
    score. failed: pictures without a row because they failed. constant: rows whose map is constant. seconds, forwards:
    per picture (`Price`). memory_mb: peak. measure_seconds, measure_forwards: what the measure took per pair; nan where
    rows have all it needs. seeds: the average of each run that is pooled. chosen: the rows that count.
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
    expected: int | None
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
    resamples: sets of pictures that are drawn; 0 leaves the intervals out (nan).
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
    cells = _expecting(cells)
    bounded = [cell for cell in cells if resamples and np.isfinite(cell.accuracy)]
    bounds: dict[int, tuple[float, float]] = {}
    for span in dict.fromkeys(cell.rule.span for cell in bounded):
        alike = [cell for cell in bounded if cell.rule.span is span or cell.rule.span == span]
        groups = [_kinds(cell.chosen, cell.rule) for cell in alike]
        bounds |= zip(map(id, alike), intervals(groups, resamples=resamples, span=span), strict=True)
    return [
        replace(cell, low=bounds[id(cell)][0], high=bounds[id(cell)][1]) if id(cell) in bounds else cell
        for cell in cells
    ]


def _expecting(cells: list[Cell]) -> list[Cell]:
    """What one run of a column knows of the network's top k, all cells of the column know."""
    known: dict[tuple, int] = {}
    for cell in cells:
        if cell.expected is not None:
            where = (cell.rule.label, *cell.column)
            known[where] = max(cell.expected, known.get(where, 0))
    return [
        replace(cell, expected=known[where])
        if cell.expected is None and (where := (cell.rule.label, *cell.column)) in known
        else cell
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
    """Whether a run is about a subset: one that was started for the difficult pairs alone, and holds no other, says
    nothing about all pairs."""
    difficult = rule.rows(run, model)["difficult"].to_numpy(bool) if rule.observed else run.part.column("difficult")
    there, count = run.info["pairs"], len(difficult)
    if subset not in there or not count:
        return False
    if subset == "diff":
        return bool(difficult.any())
    started = (run.info["config"].get("dataset") or {}).get("subset", "diff" if count == there["diff"] else "all")
    return not (started == "diff" and there["all"] > there["diff"] and bool(difficult.all()))


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
        expected=chosen.expected,
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
