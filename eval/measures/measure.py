"""What a measure is: what it observes about a pair, and the numbers that a table makes of its observations.

A measure is one object in one file of this folder. Those of `builtin` need a map and a region alone: every row has
their fields. The others need the network again; `measure=NAME` asks for them, at any time, also of finished runs, and
their fields lie beside the rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from eval.game.pointing import Heat
from eval.game.protocol import Protocol as Rules
from eval.game.region import Region


@dataclass(frozen=True, eq=False)
class Case:
    """One (picture, class) with a method's answer about it.

    region: the ground truth. size: (width, height) of the original picture. point: (x, y) in original pixels.
    heat: the map on the original picture's grid, None for a method that answers with a point.
    The rest is None for a method that reads no network. image: (3,h,w) RGB in [0,1] at the network's input size.
    target: the class's index. grid: the map as the method returned it, (h,w) float64. classifier: see
    `eval.networks.classifier`. method: the method itself, to be called again. seed: the picture's own.
    """

    region: Region
    size: tuple[int, int]
    point: tuple[float, float]
    heat: Heat | None = None
    grid: np.ndarray | None = None
    image: Any = None
    target: int = 0
    classifier: Any = None
    method: Callable | None = None
    seed: int = 0


@dataclass(frozen=True)
class Score:
    """A number of a table, made of observations.

    name: as in `scripts.table --measure NAME`. what: in words. unit: "share", "px", ... less_is_better: the direction.
    value: (rows, rules) -> (n,) float64, one a row; NaN in all of them: this method has no such number. NaN in some:
    those rows have none and are left out, counted.
    """

    name: str
    what: str
    unit: str
    less_is_better: bool
    value: Callable[[pd.DataFrame, Rules], np.ndarray]


@runtime_checkable
class Measure(Protocol):
    """name: of its file under conf/measure, or of itself where it needs a map alone. version: raised when its
    observations change for equal input. fields: what `observe` returns. scores: what tables make of them."""

    name: str
    version: int
    fields: tuple[str, ...]
    scores: tuple[Score, ...]

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """For the cases of one picture (one a class) the fields of each, plain values for JSON."""
        ...


def column(name: str) -> Callable[[pd.DataFrame, Rules], np.ndarray]:
    """The `value` of a score that is a field of the row."""

    def value(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
        return rows[name].to_numpy(float) if name in rows else np.full(len(rows), np.nan)

    return value
