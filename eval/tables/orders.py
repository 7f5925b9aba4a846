"""Rank correlations, and how far pictures move averages: what `eval.tables.reliability` counts with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from eval.tables.resampling import kinds

STANDS = 0.9  # rank correlation of two samples of pictures from which on the order of methods stands
SURE = 1.959964  # standard errors on each side of a 95 % interval


class Samples:
    """Averages of values (n,M) in samples of the pictures that keys (n,) name; classes (n,) or None for pairs."""

    def __init__(self, keys: np.ndarray, values: np.ndarray, classes: np.ndarray | None):
        from scipy import sparse

        picture = pd.factorize(keys)[0]
        label = np.zeros(len(keys), int) if classes is None else pd.factorize(classes)[0]
        beside = np.column_stack([values, np.ones(len(values))])
        self.pictures, self.classes, self.width = int(picture.max()) + 1, int(label.max()) + 1, beside.shape[1]
        places = label[:, None] * self.width + np.arange(self.width)
        shape = (self.pictures, self.classes * self.width)
        rows = np.repeat(picture, self.width)
        self._sums = sparse.csr_matrix((beside.ravel(), (rows, places.ravel())), shape=shape)

    def averages(self, weights: np.ndarray) -> np.ndarray:
        """(B,M) where picture p counts weights[:, p] times, weights (B,P); a class that a sample lacks is left out."""
        sums = (self._sums.T @ weights.T).T.reshape(len(weights), self.classes, self.width)
        counts = sums[..., -1:]
        means = np.divide(sums[..., :-1], counts, out=np.zeros_like(sums[..., :-1]), where=counts > 0)
        return means.sum(1) / (counts > 0).sum(1)


def influence(keys: np.ndarray, values: np.ndarray, classes: np.ndarray | None) -> np.ndarray:
    """(P,M): by picture, how far the averages of values (n,M) are moved by it, scaled so that the sum of squares is the
    square of their standard error (the linearised variance of clusters with one degree of freedom less)."""
    picture, label = pd.factorize(keys)[0], np.zeros(len(keys), int) if classes is None else pd.factorize(classes)[0]
    sizes = np.bincount(label)
    pictures = int(picture.max()) + 1
    moved = np.empty((pictures, values.shape[1]))
    for method, column in enumerate(values.T):
        mean = np.bincount(label, column) / sizes
        moved[:, method] = np.bincount(picture, (column - mean[label]) / (sizes[label] * len(sizes)))
    return moved * np.sqrt(pictures / max(1, pictures - 1))


def mean_of(keys: np.ndarray, values: np.ndarray, classes: np.ndarray | None) -> tuple[float, float, float]:
    """(average of values (n,), its 95 % interval); pictures vary."""
    mean = kinds(keys, values, classes).observed[0]
    error = SURE * float(np.linalg.norm(influence(keys, values[:, None], classes)))
    return mean, mean - error, mean + error


def pictures_needed(curve: Sequence[tuple[int, float]], target: float = STANDS) -> tuple[float, bool]:
    """(pictures a sample needs for a mean rank correlation of `target` and keeps it, whether that is beyond the curve).

    Between two sizes along a line in the logarithm of the size; beyond the last by Spearman and Brown's formula
    (1910). (nan, True) where the last correlation is not positive.
    """
    if not curve:
        return np.nan, True
    sizes, values = np.array(curve, float).T
    below = np.flatnonzero(values < target)
    if not len(below):
        return float(sizes[0]), False
    last = int(below[-1])
    if last == len(sizes) - 1:
        value = values[-1]
        return (float(sizes[-1] * target / (1 - target) * (1 - value) / value) if value > 0 else np.nan), True
    share = (target - values[last]) / (values[last + 1] - values[last])
    return float(sizes[last] * (sizes[last + 1] / sizes[last]) ** share), False


def spearman(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) rank correlation of each line of a with that of b, (n,m) both; NaN where all of a line are equal."""
    return (standard_ranks(a) * standard_ranks(b)).sum(1)


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of each line (n,m), less their mean and divided by their length; NaN where all are equal. Averages that
    differ by rounding alone are equal."""
    ranks = rankdata(np.round(values, 12), axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    size = np.sqrt((ranks**2).sum(1, keepdims=True))
    return np.divide(ranks, size, out=np.full(ranks.shape, np.nan), where=size > 0)
