"""Methods by measures in one table: values, ranks in the direction in which each measure is better, and where measures
disagree."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from eval.files.markdown import markdown_table
from eval.game.protocol import Protocol
from eval.measures.measure import Score
from eval.records.loading import Run, load_run, pool, tell_apart
from eval.tables.cells import table_cells
from eval.tables.exchange import even
from eval.tables.formats import ALIKE, DAGGER, decimal, decimals
from eval.tables.layout import named, place
from eval.tables.paired import like_the_best
from eval.tables.rules import Changes, Rule, fits
from eval.tables.scores import SCORES
from eval.tables.statistics import RULE

MEASURES = (
    "hit", "energy", "pixel_ap", "iou_best", "deletion", "insertion", "road", "gpnn_deletion", "average_drop",
    "average_increase", "adcc", "infidelity_share", "single_deletion", "idsds", "max_sensitivity", "stability",
    "randomisation",
)  # fmt: skip


@dataclass(frozen=True)
class Column:
    """One measure. name: of the score, with the settings that tell it from another column of the same. values: a number
    a method, NaN where it has none. alike: not shown to be below the best. incomplete: methods that lack pairs.
    undecided: methods whose 95 % interval holds the value below which a test is passed."""

    name: str
    score: Score
    values: pd.Series
    alike: frozenset[str]
    incomplete: frozenset[str]
    undecided: frozenset[str] = frozenset()

    @property
    def ranks(self) -> pd.Series:
        """1 = best, equal values share the mean of their places; NaN where a method has no value or lacks pairs, and
        everywhere for a score that ranks no method."""
        values = even(self.values.mask(self.values.index.isin(self.incomplete)))
        if not self.score.ranked:
            return values * np.nan
        return values.rank(ascending=self.score.less_is_better)


@dataclass(frozen=True)
class Overview:
    """All measures of one data set, network and subset. labels: of the methods by name, in the table's order."""

    dataset: str
    model: str
    subset: str
    labels: dict[str, str]
    columns: list[Column]

    @property
    def agreement(self) -> pd.DataFrame:
        """Kendall's tau-b between the ranks of every two measures, over the methods that have both; NaN for fewer than
        three, and where one ranks all methods equal."""
        ranked = [column for column in self.columns if column.ranks.notna().sum() > 2]
        names = [column.name for column in ranked]
        table = pd.DataFrame(np.nan, names, names)
        for one in ranked:
            for other in ranked:
                both = pd.concat([one.ranks, other.ranks], axis=1).dropna()
                if len(both) > 2:
                    table.loc[one.name, other.name] = kendalltau(both.iloc[:, 0], both.iloc[:, 1]).statistic
        return table


def overviews(
    runs: list[Run], protocol: Protocol, subset: str = "all", measures: Sequence[str] = MEASURES, resamples: int = 1000,
    top_k: int | None = None,
) -> list[Overview]:  # fmt: skip
    """An overview for every data set and network of the runs, under one protocol; measures that nobody observed are
    left out."""
    runs = [run for run in runs if fits(run, protocol)]
    columns: dict[tuple[str, str], list[Column]] = {}
    labels: dict[tuple[str, str], dict[str, str]] = {}
    for name in measures:
        limit = SCORES[name].passes_below
        drawn = 0 if limit is None else resamples  # only a verdict needs an interval
        cells = table_cells(runs, Changes(), Rule(protocol, name, top_k), (subset,), resamples=drawn)
        alike = {id(cell) for cell in like_the_best(cells, resamples)} if resamples else set()
        groups: dict[tuple[str, str, str], list] = {}
        for cell in cells:
            groups.setdefault((cell.run.dataset, cell.model, cell.rule.setting), []).append(cell)
        for (dataset, model, setting), group in groups.items():
            values = pd.Series({cell.run.method: cell.accuracy for cell in group}, dtype=float)
            if values.isna().all():
                continue
            labels.setdefault((dataset, model), {}).update({cell.run.method: cell.run.label for cell in group})
            columns.setdefault((dataset, model), []).append(
                Column(
                    f"{name} [{setting}]" if setting else name,
                    SCORES[name],
                    values,
                    frozenset(cell.run.method for cell in group if id(cell) in alike),
                    frozenset(cell.run.method for cell in group if not cell.complete),
                    frozenset(cell.run.method for cell in group if limit is not None and cell.low < limit <= cell.high),
                )
            )
    summaries = []
    for (dataset, model), group in columns.items():
        names = sorted(labels[dataset, model], key=place)
        aligned = [replace(column, values=column.values.reindex(names)) for column in group]
        summaries.append(
            Overview(dataset, model, subset, {name: labels[dataset, model][name] for name in names}, aligned)
        )
    return summaries


def overview_markdown(overview: Overview, digits: int = 3) -> str:
    """Values with ranks, the verdicts of tests, and the agreement of measures, as Markdown."""
    title = " ".join(filter(None, map(named, (overview.dataset, overview.model, overview.subset))))
    heads = [f"{column.name} {arrow(column.score)}" for column in overview.columns]
    lines = [["method", *heads]]
    for method, label in overview.labels.items():
        lines.append([label, *(_value(column, method, digits) for column in overview.columns)])
    blocks = [f"### {title}", "", markdown_table(lines), ""]
    blocks += [f"- {column.name}: {column.score.what}." for column in overview.columns]
    blocks += ["- ↑ more is better, ↓ less is better; in brackets the rank; bold the best; "
               f"{ALIKE} not shown to be below the best. {RULE}"]  # fmt: skip
    if any(column.incomplete for column in overview.columns):
        blocks.append(f"- {DAGGER} incomplete, and not ranked.")
    for column in overview.columns:
        if column.score.passes_below is not None:
            blocks.append(f"- {column.name}: {verdicts(column, overview.labels)}")
    agreement = overview.agreement
    if len(agreement) > 1:
        table = [["Kendall's tau", *agreement.columns]]
        for name in agreement.index:
            table.append([name, *("–" if pd.isna(value) else f"{value:+.2f}" for value in agreement.loc[name])])
        blocks += [
            "",
            "How far measures order methods alike (1: the same order, -1: the reverse):",
            "",
            markdown_table(table),
        ]
    return "\n".join(blocks)


def arrow(score: Score) -> str:
    """The direction in which a score is better; nothing for one that ranks no method."""
    return "" if not score.ranked else "↓" if score.less_is_better else "↑"


def verdicts(column: Column, labels: dict[str, str]) -> str:
    """Which methods pass a test, which fail it, and which the interval leaves open."""
    known = column.values.dropna()
    limit = column.score.passes_below
    groups: dict[str, list[str]] = {"Passed": [], "Failed": [], "Undecided, since the 95 % interval holds it": []}
    for name, value in known.items():
        groups[list(groups)[2 if name in column.undecided else 0 if value < limit else 1]].append(labels[name])
    sentences = " ".join(f"{what}: {', '.join(who)}." for what, who in groups.items() if who)
    return f"below {limit:g} passes. {sentences}"


def _value(column: Column, method: str, digits: int) -> str:
    value, rank = column.values[method], column.ranks[method]
    if pd.isna(value):
        return "–"
    text = decimal(value, decimals(column.score.name, digits))
    text = f"**{text}**" if rank == column.ranks.min() else text
    text += f" {ALIKE}" if method in column.alike else ""
    text += f" {DAGGER}" if method in column.incomplete else ""
    return f"{text} ({rank:g})" if pd.notna(rank) else text


def print_overview(folders: Sequence[Path], protocol: Protocol, subset: str = "all") -> None:
    """Print the overview of some runs."""
    runs = pool(load_run(folder) for folder in folders)
    tell_apart(runs)
    print("\n\n".join(overview_markdown(each) for each in overviews(runs, protocol, subset)))
