"""The numbers behind the page's charts, one view a protocol, data set, network and subset."""

from dataclasses import replace

import numpy as np
import pandas as pd

from eval.tables.cells import Cell
from eval.tables.formats import decimal, decimals
from eval.tables.layout import named, place
from eval.tables.resampling import kinds
from eval.tables.rules import Rule
from eval.tables.statistics import intervals

TOLERANCES = range(51)  # pixels; at 0 the point must lie in the region
CLASSES = 40  # more do not fit a chart that one can read


def views(cells: list[Cell]) -> list[dict]:
    """Plain values for the page's script; methods in the order of the table."""
    groups = {}
    for cell in cells:
        if np.isfinite(cell.accuracy):
            groups.setdefault((cell.rule.label, cell.run.dataset, cell.model, cell.subset), []).append(cell)
    drawn, largest = [], sizes(cells)
    for (protocol, dataset, model, subset), group in sorted(groups.items(), key=lambda item: -largest[item[0][1]]):
        group.sort(key=lambda cell: place(cell.run.method))
        rows = [cell.counted for cell in group]
        drawn.append(
            {
                "protocol": protocol,
                "rule": group[0].rule.words,
                "measure": group[0].rule.measure,
                "unit": group[0].rule.score.unit,
                "lessIsBetter": group[0].rule.score.less_is_better,
                "data": " · ".join(filter(None, (named(dataset), named(model)))),
                "dataset": dataset,
                "model": model,
                "subset": subset,
                "pairs": max([cell.n for cell in group if cell.complete] or [cell.pairs for cell in group]),
                "classes": _classes(group, rows),
                "along": group[0].rule.score.curve and group[0].rule.score.curve.along,
                "methods": [_method(cell, part) for cell, part in zip(group, rows, strict=True)],
            }
        )
    return drawn


def sizes(cells: list[Cell]) -> dict[str, int]:
    """Pairs by data set: the largest stands first on the page."""
    largest: dict[str, int] = {}
    for cell in cells:
        largest[cell.run.dataset] = max(cell.pairs, largest.get(cell.run.dataset, 0))
    return largest


def _method(cell: Cell, rows: pd.DataFrame) -> dict:
    return {
        "name": cell.run.method,
        "label": cell.run.label,
        "n": cell.n,
        "complete": cell.complete,
        "value": _plain(cell.accuracy),
        "low": _plain(cell.low),
        "high": _plain(cell.high),
        "text": decimal(cell.accuracy, decimals(cell.rule.measure, 3)),  # as in the tables: JavaScript rounds ties up
        "seconds": cell.seconds,
        "forwards": round(cell.forwards, 1),
        "memory": None if np.isnan(cell.memory_mb) else round(cell.memory_mb),
        "path": path(cell),
        "curve": [_plain(value) for value in tolerance_curve(rows, cell.rule)],
    }


def path(cell: Cell, resamples: int = 1000) -> dict | None:
    """The mean over pairs of the curves that a score is made of, and at each point its 95 % interval, resampled over
    pictures; None for a score without curves."""
    curve = cell.rule.score.curve
    if curve is None or not len(cell.counted):
        return None
    shares, values = curve.points(cell.counted)
    known = np.isfinite(values).all(1)
    if not known.any():
        return None
    groups = kinds(cell.counted["key"][known], values[known])
    points = [groups.alone(point) for point in range(values.shape[1])]
    low, high = zip(*intervals(points, resamples=resamples), strict=True)
    lists = {"shares": shares, "mean": values[known].mean(0), "low": low, "high": high}
    return {name: [_plain(each) for each in line] for name, line in lists.items()}


def tolerance_curve(rows: pd.DataFrame, rule: Rule) -> np.ndarray:
    """(51,): accuracy when a point less than t = 0..50 px away counts; at 0 it must lie in the region."""
    weights = np.full(len(rows), 1 / len(rows))
    if rule.protocol.average == "class":
        sizes = rows.groupby("label")["label"].transform("size").to_numpy(float)
        weights = 1 / (sizes * rows["label"].nunique())
    inside = replace(rule.protocol, hit="inside")
    rules = [inside if t == 0 else replace(inside, hit="tolerance", tolerance=t) for t in TOLERANCES]
    return np.array([weights[each.hits(rows["inside"], rows["distance"], rows["constant"])].sum() for each in rules])


def _classes(cells: list[Cell], rows: list[pd.DataFrame]) -> dict:
    """Accuracy of each method for each class, the classes by their mean, best first; of many those that differ most."""
    columns = {}
    for cell, part in zip(cells, rows, strict=True):
        values = pd.Series(cell.values, part["label"].to_numpy())
        columns[cell.run.method] = values.groupby(level=0).mean()
    table = pd.DataFrame(columns)
    pairs = [
        part.drop_duplicates(["key", "label"]) if cell.run.seeds else part
        for cell, part in zip(cells, rows, strict=True)
    ]
    counts = pd.concat([part["label"].value_counts() for part in pairs], axis=1).max(axis=1)
    total = len(table)
    if total > CLASSES:
        table = table.loc[(table.max(axis=1) - table.min(axis=1)).nlargest(CLASSES).index]
    less = cells[0].rule.score.less_is_better
    table = table.loc[table.mean(axis=1).sort_values(ascending=less, kind="stable").index]
    return {
        "total": total,
        "names": list(table.index),
        "n": [int(counts[name]) for name in table.index],
        "values": {method: [_plain(value) for value in table[method]] for method in table},
    }


def _plain(value: float) -> float | None:
    return None if pd.isna(value) else float(value)  # the page rounds, once
