"""What a measure is: what it observes about a pair, and the numbers that a table makes of its observations.

A measure is one object in one file of this folder. Those of `builtin` need a map and a region alone: every row has
their fields. The others need the network again; `measure=NAME` asks for them, at any time, also of finished runs, and
their fields lie beside the rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import pandas as pd

from eval.game.pointing import Heat
from eval.game.protocol import Protocol as Rules
from eval.game.region import Region

if TYPE_CHECKING:
    from eval.measures.thresholds import Thresholds


@dataclass(frozen=True, eq=False)
class Case:
    """One (picture, class) with a method's answer about it.

    region: the ground truth. size: (width, height) of the original picture. point: (x, y) in original pixels.
    heat: the map on the original picture's grid, None for a method that answers with a point. grid: the map as the
    method returned it, (h,w) float64, None with `heat`.
    The rest is for measures that need the network. image: (3,h,w) RGB in [0,1] at the protocol's input size, whatever
    the method looks at, or at the measure's own. target: the class's index. classifier: see `eval.networks.classifier`.
    method: the method again, of `given` or a picture like it; None where it reads no pixels. seed: the picture's own,
    that of the run's map. own: the method's own input (3,h',w') where that is another picture than `image`.
    """

    region: Region
    size: tuple[int, int]
    point: tuple[float, float]
    heat: Heat | None = None
    grid: np.ndarray | None = None
    image: Any = None
    target: int = 0
    classifier: Any = None
    method: "Again | None" = None
    seed: int = 0
    own: Any = None

    @property
    def given(self) -> Any:
        """The picture that the method was given, (3,h',w')."""
        return self.image if self.own is None else self.own

    @cached_property
    def thresholds(self) -> "Thresholds":
        """The map against the region at every threshold, computed once for all measures that read it."""
        from eval.measures.thresholds import thresholds

        assert self.heat is not None, "a point has no thresholds"
        return thresholds(self.heat, self.region.mask)


class Again(Protocol):
    """A method, called again: picture (3,h,w) RGB in [0,1], targets, seed -> its maps (K,h',w') float64. Everything
    random in the call is drawn from the seed. ValueError for an answer that is no map."""

    def __call__(self, image: Any, targets: Sequence[int], seed: int, /) -> np.ndarray:
        """Maps or points of the targets."""
        ...


@dataclass(frozen=True)
class Curve:
    """What a score is the area of. along: what grows from left to right, in words. points: rows -> (shares (m,) in
    [0,1], values (n,m) float64, NaN in the lines of rows without a curve)."""

    along: str
    points: Callable[[pd.DataFrame], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Score:
    """A number of a table, made of observations.

    name: as in `scripts.table --measure NAME`. what: in words. unit: "share", "px", ... less_is_better: the direction.
    value: (rows, rules) -> (n,) float64, one a row; NaN in all of them: this method has no such number. NaN in some:
    those rows have none and are left out, counted. ranked: whether its order says which method is better; a test that
    is passed or failed ranks none. curve: where the page can draw one. passes_below: of such a test, the average
    below which a method passes.
    """

    name: str
    what: str
    unit: str
    less_is_better: bool
    value: Callable[[pd.DataFrame, Rules], np.ndarray]
    ranked: bool = True
    curve: Curve | None = None
    passes_below: float | None = None


@runtime_checkable
class Measure(Protocol):
    """name: of its file under conf/measure, or of itself where it needs a map alone. version: raised when its
    observations change for equal input. fields: what `observe` returns. scores: what tables make of them, an attribute
    of the class: tables build no measure."""

    @property
    def name(self) -> str:
        """As in conf/measure."""
        ...

    @property
    def version(self) -> int:
        """Of its observations."""
        ...

    @property
    def fields(self) -> tuple[str, ...]:
        """The keys of what `observe` returns."""
        ...

    @property
    def scores(self) -> tuple[Score, ...]:
        """What tables can show."""
        ...

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """For the cases of one picture (one a class) the fields of each, plain values for JSON."""
        ...


def column(name: str) -> Callable[[pd.DataFrame, Rules], np.ndarray]:
    """The `value` of a score that is a field of the row."""

    def value(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
        return rows[name].to_numpy(float) if name in rows else np.full(len(rows), np.nan)

    return value


def lines(rows: pd.DataFrame, name: str, ragged: bool = False) -> np.ndarray:
    """(n,m) float64 of a field that holds a list of m numbers a row, NaN in the lines of rows that have none.

    ragged: lists may be shorter than m, and end in NaN. Else ValueError where two rows have lists of different
    lengths: they are of different settings.
    """
    lists = [None if each is None or np.ndim(each) == 0 else np.asarray(each, float) for each in rows[name]]
    sizes = {len(each) for each in lists if each is not None}
    if len(sizes) > 1 and ragged:
        most = max(sizes)
        lists = [
            None if each is None else np.pad(each, (0, most - len(each)), constant_values=np.nan) for each in lists
        ]
    elif len(sizes) > 1:
        raise ValueError(f"the rows hold lists {name} of {sorted(sizes)} numbers: they are of different settings")
    empty = np.full(max(sizes, default=1), np.nan)
    return np.stack([empty if each is None else each for each in lists]) if lists else np.empty((0, 1))
