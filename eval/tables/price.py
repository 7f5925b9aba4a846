"""What a run's rows cost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.records.loading import Run
from eval.records.stacked import Batch


@dataclass(frozen=True)
class Price:
    """What a run's rows cost: seconds: the median picture's, so that the first one, which waits for libraries, decides
    nothing. forwards: the mean of the pictures. memory_mb: peak. They are those of all of its rows, whatever counts in
    a cell; of several seeds the mean over seeds."""

    seconds: float
    forwards: float
    memory_mb: float

    @classmethod
    def of(cls, run: Run) -> Price:
        """Of a run, each seed by itself."""
        seeds = run.seeds or (run,)
        memory = np.concatenate([each.part.column("memory_mb") for each in seeds])
        known = memory[~np.isnan(memory)]
        # Each row holds an equal part of its picture's price: the sum over a picture's rows is the whole.
        seconds = [each.part.batch.computed("seconds a picture", _medians(each.part.batch))[each.part.place]
                   for each in seeds]  # fmt: skip
        forwards = [float(each.part.column("forwards").sum() / max(1, each.part.pictures)) for each in seeds]
        return cls(float(np.mean(seconds)), float(np.mean(forwards)), float(known.max()) if len(known) else np.nan)


def _medians(batch: Batch) -> Callable[[pd.DataFrame], np.ndarray]:
    """frame -> (R,): of each run the median over its pictures; 0 for a run without rows."""

    def medians(frame: pd.DataFrame) -> np.ndarray:
        codes, keys = pd.factorize(frame["key"])
        runs = np.repeat(np.arange(len(batch.starts) - 1), np.diff(batch.starts))
        pictures, known = pd.factorize(runs * max(1, len(keys)) + codes)
        sums = pd.Series(np.bincount(pictures, frame["seconds"], minlength=len(known)))
        by_run = sums.groupby(known // max(1, len(keys))).median()
        return by_run.reindex(range(len(batch.starts) - 1), fill_value=0.0).to_numpy(float)

    return medians
