"""The table: cells as one frame, in the order in which they are read, and its terminal form after a run."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from eval.files.words import several
from eval.game.protocol import Protocol
from eval.records.loading import load_run, pool, tell_apart
from eval.tables.beside import common, equals
from eval.tables.cells import Cell, table_cells
from eval.tables.exchange import even
from eval.tables.formats import markdown
from eval.tables.layout import place
from eval.tables.paired import like_the_best, paired_table
from eval.tables.resampling import RESAMPLES
from eval.tables.rules import Changes, Rule
from eval.tables.scores import SCORES, learn_scores
from eval.tables.sentence import sentences

# Other programs read the first columns by place; new columns go behind them.
COLUMNS = ["dataset", "subset", "model", "method", "protocol", "n", "accuracy", "published", "delta"]


def table_frame(cells: list[Cell], resamples: int = 0) -> pd.DataFrame:
    """A line per cell, sorted by protocol, data set, network, subset and method; COLUMNS first.

    best, second: place in its column (protocol, data set, network, subset) among complete cells, ties included.
    alike: not shown to be below the best, see `like_the_best`; none with resamples=0. common, common_n: where the
    methods of a column have different pairs, the average over those that all have, and how many. equals: labels of
    methods of the column that have equal rows.
    """
    frame = pd.DataFrame([_line(cell) for cell in cells], columns=[*COLUMNS, *FURTHER])
    frame = frame.astype({"seed_low": float, "seed_high": float})
    frame = frame.astype({"top_k": "Int64", "digits": "Int64", "published": float, "delta": float})
    if resamples:
        alike = {id(cell) for cell in like_the_best(cells, resamples)}
        frame["alike"] = [id(cell) in alike for cell in cells]
    beside = [{"common": np.nan, "common_n": None, "equals": ""} for _ in cells]
    columns: dict[tuple, list[int]] = {}
    for number, cell in enumerate(cells):
        columns.setdefault((cell.rule.label, cell.rule.measure, *cell.column), []).append(number)
    for places in columns.values():
        group = [cells[number] for number in places]
        for number, found in zip(places, map(dict.__or__, common(group), equals(group)), strict=True):
            beside[number] |= found
    frame = frame.assign(**pd.DataFrame(beside, columns=["common", "common_n", "equals"]).to_dict("list"))
    frame = frame.astype({"common": float, "common_n": "Int64", "expected": "Int64"})
    frame["place"] = frame["method"].map(place)
    frame = frame.sort_values(["protocol", "dataset", "model", "subset", "place"], kind="stable")
    return _ranked(frame.drop(columns="place").reset_index(drop=True))


FURTHER = [
    "label", "measure", "rule", "top_k", "low", "high", "rows", "pairs", "complete", "unreadable", "unranked", "failed",
    "constant", "seconds", "forwards", "memory_mb", "reference", "reference_protocol", "digits", "best", "second",
    "run", "alike", "without", "seeds", "seed_low", "seed_high", "measure_seconds", "measure_forwards",
    "expected",
]  # fmt: skip


def _line(cell: Cell) -> dict:
    number = cell.published
    return {
        "dataset": cell.run.dataset,
        "subset": cell.subset,
        "model": cell.model,
        "method": cell.run.method,
        "protocol": cell.rule.label,
        "n": cell.n,
        "accuracy": cell.accuracy,
        "published": number and number.value,
        "delta": cell.delta,
        "label": cell.run.label,
        "measure": cell.rule.measure,
        "rule": cell.rule.words,
        "top_k": cell.rule.top_k,
        "low": cell.low,
        "high": cell.high,
        "rows": cell.rows,
        "pairs": cell.pairs,
        "complete": cell.complete,
        "unreadable": cell.unreadable,
        "unranked": cell.unranked,
        "failed": cell.failed,
        "constant": cell.constant,
        "seconds": cell.seconds,
        "forwards": cell.forwards,
        "memory_mb": cell.memory_mb,
        "reference": number and number.reference,
        "reference_protocol": number and number.protocol,
        "digits": number and number.digits,
        "best": False,
        "second": False,
        "run": cell.run.folder.name,
        "alike": False,
        "without": cell.without,
        "seeds": max(1, len(cell.run.seeds)),
        "seed_low": min(cell.seeds, default=None),
        "seed_high": max(cell.seeds, default=None),
        "measure_seconds": cell.measure_seconds,
        "measure_forwards": cell.measure_forwards,
        "expected": cell.expected,
    }


def _ranked(frame: pd.DataFrame) -> pd.DataFrame:
    for _, column in frame[frame["complete"]].groupby(["protocol", "dataset", "model", "subset", "measure"]):
        values = even(column["accuracy"].dropna())
        if len(values) < 2:
            continue
        score = SCORES[column["measure"].iloc[0]]
        if not score.ranked:
            continue
        less_is_better = score.less_is_better
        distinct = sorted(values.unique(), reverse=not less_is_better)
        frame.loc[values.index[values == distinct[0]], "best"] = True
        if len(distinct) > 1:
            frame.loc[values.index[values == distinct[1]], "second"] = True
    return frame


def refuse_incomplete(frame: pd.DataFrame) -> None:
    """ValueError names every cell that does not stand on all pairs of its data set."""
    bad = frame[~frame["complete"]]
    if len(bad):
        listed = "".join(
            f"\n  {line.dataset} {line.subset} {line.model} {line.method} ({line.protocol}): "
            f"{line.rows - line.unranked} of {line.pairs}, {several(line.failed, 'picture')} failed, "
            f"{several(line.unreadable, 'annotation')} cannot be read"
            for line in bad.itertuples()
        )
        raise ValueError(f"{several(len(bad), 'cell is', 'cells are')} incomplete:{listed}")


def print_runs(folders: Sequence[Path], protocol: Protocol, measures: Sequence[str] = ("hit",)) -> None:
    """Print some runs under one protocol as `scripts.table` does, a table for each of the measures, and in sentences
    how the first of the runs compares with the others."""
    runs = pool(load_run(Path(folder)) for folder in dict.fromkeys(folders))
    tell_apart(runs)
    for measure in measures:
        learn_scores(measure, runs)
        rule = Rule(protocol, measure)
        cells = table_cells(runs, Changes(), rule)
        if not cells:
            print(f"no rows of {measure} yet, so no table")
            continue
        print(markdown(table_frame(cells, RESAMPLES)))
        print(
            "".join(
                f"\n{line}" for line in sentences(paired_table(runs, None, Changes(), rule, against=runs[0].method))
            )
        )
