"""What the methods of one column of a table have in common: pairs, and rows."""

import numpy as np
import pandas as pd

from eval.tables.cells import Cell
from eval.tables.counted import alike
from eval.tables.resampling import average

OBSERVED = ("x", "y", "energy", "cover5", "cover10", "cover20")
ROUNDED = 5e-4  # of a value: a map's float32 sums in another order move the few pixels at a cover's edge


def common(column: list[Cell]) -> list[dict]:
    """For each cell of a column its average over the pairs that all of them have ("common", "common_n"); nothing where
    they have the same pairs, or none together."""
    known = [cell for cell in column if len(cell.values) and np.isfinite(cell.values).all()]
    if len(known) < 2 or all(cell.complete for cell in known) or all(_same(known[0], cell) for cell in known):
        return [{} for _ in column]
    both = pd.concat([cell.chosen.pairs for cell in known], axis=1, join="inner")
    if not len(both) or len(both) == max(cell.n for cell in known):
        return [{} for _ in column]
    classes = both.index.get_level_values("label") if column[0].rule.protocol.average == "class" else None
    values = {id(cell): average(both.iloc[:, at].to_numpy(), classes) for at, cell in enumerate(known)}
    return [{"common": values[id(cell)], "common_n": len(both)} if id(cell) in values else {} for cell in column]


def _same(one: Cell, other: Cell) -> bool:
    return all(alike(one.chosen.column(name), other.chosen.column(name)) for name in ("key", "label"))


def equals(column: list[Cell]) -> list[dict]:
    """For each cell of a column the labels of the others whose rows are equal ("equals"): the same points, and values
    that are off by the last digits of a map's sums alone, on the same pairs, as methods of equal maps have them."""
    seeing = [
        cell for cell in column if np.isfinite(cell.accuracy) and cell.run.model is not None and not cell.run.seeds
    ]
    found = {
        id(cell): [other.run.label for other in seeing if other is not cell and _equal(cell, other)] for cell in seeing
    }
    return [{"equals": ", ".join(sorted(found.get(id(cell), [])))} for cell in column]


def _equal(one: Cell, other: Cell) -> bool:
    if not np.isclose(one.accuracy, other.accuracy, ROUNDED) or one.n != other.n or not _same(one, other):
        return False
    columns = [(cell.values, *(cell.chosen.column(name) for name in OBSERVED)) for cell in (one, other)]
    return all(np.allclose(a, b, ROUNDED, 1e-6, equal_nan=True) for a, b in zip(*columns, strict=True))
