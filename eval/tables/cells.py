"""From runs to the cells of a table: the rows that a cell counts, its average, interval, price and published number."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from eval.records.loading import Run
from eval.tables.published import Published, published
from eval.tables.rules import Changes, Rule, fits, observed_rules, rules_of
from eval.tables.statistics import RESAMPLES, Kinds, interval, kinds

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
    all it needs. seeds: the average of each run that is pooled. counted: the rows that count; values: (n,) theirs.
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
    counted: pd.DataFrame = field(repr=False, compare=False)
    values: np.ndarray = field(repr=False, compare=False)

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
            for model in models_of(run, scored):
                scope = scope_of(run, model, scored, each.top_k)
                cells += [
                    _cell(run, each, subset, model, scope, resamples)
                    for subset in subsets
                    if _covers(run, each.rows(run, model), subset)
                ]
    return cells


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


@dataclass(frozen=True)
class Scope:
    """The pairs on which a run stands in a network's column. pairs: how many by subset. For a method that reads no
    network, classes: those that the network has outputs for (None: all); ranks: the network's by (key, label)."""

    pairs: dict[str, int]
    classes: frozenset[str] | None = None
    ranks: pd.Series | None = None


def scope_of(run: Run, model: str, others: list[Run], top_k: int | None) -> Scope:
    """The scope of a run in the column of a network among `others`.

    ValueError if runs of that network disagree about ranks, for then they are not one network. If they have outputs for
    different classes, a blind method takes those of the run with the fewest pairs.
    """
    seeing = [other for other in others if other.model == model and other.dataset == run.dataset]
    if run.model is not None or not seeing:
        return Scope(run.info["pairs"])
    ranks = None
    if top_k:
        ranks = pd.concat([other.rows[["key", "label", "rank"]] for other in seeing]).drop_duplicates()
        if ranks.duplicated(["key", "label"]).any():
            raise ValueError(
                f"{run.dataset}: the runs of {model} disagree about the ranks of classes, so {run.method} has no top-k"
            )
        ranks = ranks.set_index(["key", "label"])["rank"]
    narrow = min(seeing, key=lambda other: other.info["pairs"]["all"])
    outputs = zip(narrow.info["classes"], narrow.info["identity"]["model"]["outputs"], strict=True)
    return Scope(narrow.info["pairs"], frozenset(name for name, indices in outputs if indices), ranks)


def _covers(run: Run, rows: pd.DataFrame, subset: str) -> bool:
    """Whether a run is about a subset: one that holds the difficult pairs alone says nothing about all pairs."""
    if subset not in run.info["pairs"] or not len(rows):
        return False
    there = run.info["pairs"]
    only_difficult = bool(rows["difficult"].all()) and there["all"] > len(rows) and there["all"] > there["diff"]
    return bool(rows["difficult"].any()) if subset == "diff" else not only_difficult


@dataclass(frozen=True)
class Selected:
    """The rows that count in a cell, and what was left out. values: (n,) of the rule's score, a value for each row;
    all NaN: the method has no such score. rows: pairs of the subset that exist, in each of the run's seeds; unranked:
    those of unknown rank; without: rows that have no value while others have."""

    counted: pd.DataFrame
    values: np.ndarray
    rows: int
    unranked: int
    without: int

    @property
    def pairs(self) -> pd.Series:
        """The value of each pair, indexed by (key, label): of several seeds the mean."""
        index = pd.MultiIndex.from_frame(self.counted[["key", "label"]])
        return pd.Series(self.values, index).groupby(level=[0, 1]).mean()


def selected(run: Run, rule: Rule, subset: str, model: str, scope: Scope) -> Selected:
    """The rows of a run that count in the cell of a subset and a network."""

    def of_subset(rows: pd.DataFrame) -> pd.DataFrame:
        rows = rows if subset == "all" else rows[rows["difficult"]]
        return rows if scope.classes is None else rows[rows["label"].isin(scope.classes)]

    there = of_subset(run.rows)
    counted, unranked = _within_top(there, rule.top_k, run, scope)
    rows = counted
    if rule.observed:
        rows, _ = _within_top(of_subset(rule.rows(run, model)), rule.top_k, run, scope)
    # A pair counts where every seed's run has it.
    each = max(1, len(run.seeds))
    count = _pairs(there, each) - (_pairs(counted, each) - _pairs(rows, each))
    values = rule.values(rows)
    finite = np.isfinite(values)
    if finite.any() and not finite.all():
        return Selected(rows[finite], values[finite], count, unranked, int((~finite).sum()))
    return Selected(rows, values, count, unranked, 0)


def _within_top(rows: pd.DataFrame, top_k: int | None, run: Run, scope: Scope) -> tuple[pd.DataFrame, int]:
    """(the rows whose class is among the network's k highest outputs, how many rows have no known rank)."""
    if top_k is None:
        return rows, 0
    known = rows["rank"]
    if run.model is None:
        pairs = pd.MultiIndex.from_frame(rows[["key", "label"]])
        known = pd.Series(np.nan if scope.ranks is None else scope.ranks.reindex(pairs).to_numpy(), rows.index)
    return rows[known < top_k], int(known.isna().sum())


def _pairs(rows: pd.DataFrame, each: int) -> int:
    """How many pairs have `each` rows."""
    return len(rows) if each == 1 else int((rows.groupby(["key", "label"]).size() == each).sum())


def _cell(run: Run, rule: Rule, subset: str, model: str, scope: Scope, resamples: int) -> Cell:
    chosen = selected(run, rule, subset, model, scope)
    rows, values = chosen.counted, chosen.values
    accuracy = low = high = np.nan
    if len(values) and np.isfinite(values).all():
        groups = _grouped(rows, values, rule)
        accuracy = float(groups.observed[0])
        if resamples:
            low, high = interval(groups, resamples=resamples)
    number = None
    if rule.published and run.usual_network:
        number = published(run.dataset, subset, model, run.info["method"], rule.protocol.name)
    known = rule.rows(run, model)
    pictures = max(1, run.rows["key"].nunique() * max(1, len(run.seeds)))
    return Cell(
        run=run,
        rule=rule,
        subset=subset,
        model=model,
        n=len(rows) if not run.seeds else len(rows[["key", "label"]].drop_duplicates()),
        accuracy=accuracy,
        low=low,
        high=high,
        rows=chosen.rows,
        pairs=scope.pairs[subset],
        unreadable=run.info["unreadable"],
        unranked=chosen.unranked,
        without=chosen.without,
        failed=len(run.failures),
        constant=int(rows["constant"].sum()),
        # Each row holds an equal part of its picture's price: the sum over a picture's rows is the whole.
        seconds=float(run.rows["seconds"].sum() / pictures),
        forwards=float(run.rows["forwards"].sum() / pictures),
        memory_mb=float(run.rows["memory_mb"].max()),
        measure_seconds=float(known["measure_seconds"].mean()) if rule.observed else np.nan,
        measure_forwards=float(known["measure_forwards"].mean()) if rule.observed else np.nan,
        seeds=tuple(
            float(_grouped(one.counted, one.values, rule).observed[0])
            for one in (selected(each, rule, subset, model, scope) for each in run.seeds)
            if len(one.values) and np.isfinite(one.values).all()
        ),
        published=number,
        counted=rows,
        values=values,
    )


def _grouped(rows: pd.DataFrame, values: np.ndarray, rule: Rule) -> Kinds:
    return kinds(rows["key"], values, rows["label"] if rule.protocol.average == "class" else None)
