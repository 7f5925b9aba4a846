"""Rows of several runs in one frame: what is computed row by row is computed once for thousands of small runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd


@dataclass(eq=False)
class Batch:
    """frame: the rows of runs, one run after the other. starts: (R+1,) where each begins, and the end."""

    frame: pd.DataFrame
    starts: np.ndarray
    _known: dict[Hashable, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pd.DataFrame) -> Batch:
        """A single run."""
        return cls(frame, np.array([0, len(frame)]))

    def computed(self, name: Hashable, compute: Callable[[pd.DataFrame], np.ndarray]) -> np.ndarray:
        """compute(frame), an array with a line a row (or a run), computed once under its name."""
        if name not in self._known:
            self._known[name] = compute(self.frame)
        return self._known[name]

    def parts(self) -> list[Part]:
        """One for each run."""
        bounds = self.starts.tolist()
        return [Part(self, place, bounds[place], bounds[place + 1]) for place in range(len(bounds) - 1)]


@dataclass(eq=False)
class Part:
    """The rows of one run in a batch, from `start` to before `stop`."""

    batch: Batch
    place: int
    start: int
    stop: int

    def __len__(self) -> int:
        return self.stop - self.start

    @cached_property
    def rows(self) -> pd.DataFrame:
        """The run's own frame."""
        if len(self) == len(self.batch.frame):
            return self.batch.frame
        rows = self.batch.frame.iloc[self.start : self.stop]
        rows.index = pd.RangeIndex(len(rows))
        return rows

    def values(self, name: Hashable, compute: Callable[[pd.DataFrame], np.ndarray]) -> np.ndarray:
        """(n,) of what is computed row by row, see `Batch.computed`."""
        return self.batch.computed(name, compute)[self.start : self.stop]

    def column(self, name: str) -> np.ndarray:
        """(n,) one field of the run's rows, a number or a flag."""
        return self.values(name, lambda frame: frame[name].to_numpy())

    @property
    def pictures(self) -> int:
        """How many pictures the rows are about."""
        return int(self.batch.computed(Part, self._pictures)[self.place])

    def _pictures(self, frame: pd.DataFrame) -> np.ndarray:
        starts = self.batch.starts
        codes, known = pd.factorize(frame["key"])
        runs = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        pairs = pd.unique(runs * max(1, len(known)) + codes)
        return np.bincount(pairs // max(1, len(known)), minlength=len(starts) - 1)
