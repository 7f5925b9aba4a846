"""Which rows count in a cell, what they are worth, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.records.loading import Run
from eval.tables.rules import Rule


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
    if run.model is not None:
        return Scope(run.info["pairs"])
    seeing = [other for other in others if other.model == model and other.dataset == run.dataset]
    if not seeing:
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


@dataclass(frozen=True)
class Selected:
    """The rows that count in a cell, and what was left out.

    run: whose. observed: its rows with a measure's observations, where the score is made of those. at: (m,) bool, which
    of them count, None: all. values: (n,) of the rule's score, a value for each row that counts; all NaN: the method
    has no such score. rows: pairs of the subset that exist, in each seed of the run; unranked: those of unknown rank;
    without: rows that have no value while others have. expected: pairs that count if nothing is missing, None where
    ranks that nobody knows decide that.
    """

    run: Run
    observed: pd.DataFrame | None
    at: np.ndarray | None
    values: np.ndarray
    rows: int
    unranked: int
    without: int
    expected: int | None

    @property
    def several(self) -> bool:
        """Whether pairs may have more than one row: of several seeds."""
        return bool(self.run.seeds)

    @property
    def counted(self) -> pd.DataFrame:
        """The rows that count."""
        table = self.run.rows if self.observed is None else self.observed
        return table if self.at is None else table[self.at]

    def column(self, name: str) -> pd.Series:
        """One field of the rows that count."""
        table = self.run.rows if self.observed is None else self.observed
        return table[name] if self.at is None else table[name][self.at]

    @property
    def constant(self) -> int:
        """How many of the rows that count have a constant map."""
        if self.observed is not None:
            return int(self.counted["constant"].sum())
        constant = self.run.part.column("constant")
        return int((constant if self.at is None else constant[self.at]).sum())

    @property
    def pairs(self) -> pd.Series:
        """The value of each pair, indexed by (key, label): of several seeds the mean."""
        index = pd.MultiIndex.from_arrays([self.column("key"), self.column("label")], names=["key", "label"])
        values = pd.Series(self.values, index)
        return values.groupby(level=[0, 1]).mean() if self.several else values


def shared(a: Selected, b: Selected) -> tuple[pd.Series, pd.Series, np.ndarray]:
    """(keys (n,), labels (n,), values (n,2)) of the pairs that both have a value of."""
    if not a.several and not b.several and len(a.values) == len(b.values):
        keys, labels = a.column("key"), a.column("label")
        if alike(keys, b.column("key")) and alike(labels, b.column("label")):
            values = np.column_stack([a.values, b.values])
            known = ~np.isnan(values).any(1)
            return (keys, labels, values) if known.all() else (keys[known], labels[known], values[known])
    both = pd.concat([a.pairs.dropna(), b.pairs.dropna()], axis=1, join="inner").sort_index()
    return (*(both.index.get_level_values(name).to_series() for name in ("key", "label")), both.to_numpy())


def alike(one: pd.Series, other: pd.Series) -> bool:
    """Whether two columns of rows are equal, line by line."""
    return one is other or one.array.equals(other.array)


def selected(run: Run, rule: Rule, subset: str, model: str, scope: Scope) -> Selected:
    """The rows of a run that count in the cell of a subset and a network."""
    there = _of_subset(run, None, subset, scope)
    at, unranked = _within_top(run, None, there, rule.top_k, scope)
    count, observed = _pairs(run, None, there), None
    expected: int | None = scope.pairs[subset]
    if rule.top_k is not None:
        expected = _pairs(run, None, at) if count == expected and not unranked else None
    if rule.observed:
        before, observed = _pairs(run, None, at), rule.rows(run, model)
        at, _ = _within_top(run, observed, _of_subset(run, observed, subset, scope), rule.top_k, scope)
        count -= before - _pairs(run, observed, at)
        observed, at = (observed, None) if at is None else (observed[at], None)
        values = rule.values(observed)
    else:
        values = run.part.values((rule.measure, rule.protocol), rule.values)
        values = values if at is None else values[at]
    finite = np.isfinite(values)
    without = 0
    if finite.any() and not finite.all():
        without = int((~finite).sum())
        at = finite if at is None else _narrowed(at, finite)
        values = values[finite]
    return Selected(run, observed, at, values, count, unranked, without, expected)


def _narrowed(at: np.ndarray, kept: np.ndarray) -> np.ndarray:
    narrow = at.copy()
    narrow[at] = kept
    return narrow


def _of_subset(run: Run, observed: pd.DataFrame | None, subset: str, scope: Scope) -> np.ndarray | None:
    """Which of the run's rows, or of those that were observed, are of a subset and of the scope's classes."""
    at = None
    if subset != "all":
        at = run.part.column("difficult") if observed is None else observed["difficult"].to_numpy(bool)
    if scope.classes is None:
        return at
    labels = (run.rows if observed is None else observed)["label"]
    known = labels.isin(scope.classes).to_numpy(bool)
    return known if at is None else at & known


def _within_top(
    run: Run, observed: pd.DataFrame | None, at: np.ndarray | None, top_k: int | None, scope: Scope
) -> tuple[np.ndarray | None, int]:
    """(which of the rows `at` have a class among the network's k highest outputs, how many have no known rank)."""
    if top_k is None:
        return at, 0
    rows = run.rows if observed is None else observed
    known = rows["rank"].to_numpy(float)
    if run.model is None:
        pairs = pd.MultiIndex.from_frame(rows[["key", "label"]])
        known = np.full(len(rows), np.nan) if scope.ranks is None else scope.ranks.reindex(pairs).to_numpy(float)
    at = np.ones(len(rows), bool) if at is None else at
    return at & (known < top_k), int((at & np.isnan(known)).sum())


def _pairs(run: Run, observed: pd.DataFrame | None, at: np.ndarray | None) -> int:
    """How many pairs there are; of several seeds, those that each of them has."""
    if not run.seeds:
        return int(at.sum()) if at is not None else len(run.part) if observed is None else len(observed)
    rows = run.rows if observed is None else observed
    rows = rows if at is None else rows[at]
    return int((rows.groupby(["key", "label"]).size() == len(run.seeds)).sum())
