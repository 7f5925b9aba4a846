"""Which methods of one column a test separates: paired, with pictures as the unit, corrected for all comparisons.

The difference of two averages is a sum over pictures of what each contributes to it, so its variance follows from the
contributions (the cluster-robust variance of Liang and Zeger, Biometrika 1986), and t = difference / deviation has one
degree of freedom less than pictures. Resampling gives the same numbers (a test compares them) but no p below one
in the resamples, and Holm's correction over the 19,900 comparisons of 200 methods needs smaller ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from eval.tables.statistics import LEVEL, holm


@dataclass(frozen=True)
class Separation:
    """M methods on the same pairs, in the order given.

    difference, low, high: (M,M) average of the row's method minus the column's, with its 95 % interval. p: (M,M), of no
    difference. apart: (M,M) bool, whether that is rejected after Holm's correction over all pairs of methods.
    """

    difference: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    apart: np.ndarray


def separation(keys: pd.Series, values: np.ndarray, labels: pd.Series | None = None) -> Separation:
    """keys (n,): the picture of each pair. values (n,M): a column a method. labels (n,): classes, for the mean over
    classes of their means; None: the mean over pairs."""
    from scipy import special

    picture, pictures = pd.factorize(keys)[0], keys.nunique()
    kind = np.zeros(len(values), int) if labels is None else pd.factorize(labels)[0]
    sizes = np.bincount(kind)
    means = np.stack([np.bincount(kind, column) / sizes for column in values.T], 1)
    shares = (values - means[kind]) / (sizes[kind] * len(sizes))[:, None]
    parts = np.stack([np.bincount(picture, column, pictures) for column in shares.T], 1)
    average = means.mean(0)
    gram = parts.T @ parts * (pictures / max(1, pictures - 1))
    own = np.diag(gram)
    deviation = np.sqrt(np.maximum(own[:, None] + own[None] - 2 * gram, 0))
    difference = average[:, None] - average[None]
    difference[np.abs(difference) < 1e-12] = 0
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(difference == 0, 0, np.abs(difference) / deviation)
    freedom = max(1, pictures - 1)
    # No test of so few pictures can say more than that all of them agree by chance.
    p = np.maximum(2 * special.stdtr(freedom, -t), 2 * 0.5 ** min(pictures, 1000)).clip(max=1)
    p[difference == 0] = 1
    wide = special.stdtrit(freedom, (1 + LEVEL) / 2) * deviation
    above = np.triu_indices(len(average), 1)
    apart = np.zeros_like(p, bool)
    apart[above] = holm(p[above]) <= 1 - LEVEL
    return Separation(difference, difference - wide, difference + wide, p, apart | apart.T)


def letters(apart: np.ndarray) -> list[str]:
    """The groups of each of M methods in the order of a table, "a", "b–d": those that share a letter are separated by
    no test. Each group is a longest run of neighbours of whom no two are apart."""
    runs: list[tuple[int, int]] = []
    for start in range(len(apart)):
        end = start + 1
        while end < len(apart) and not apart[start:end, end].any():
            end += 1
        if not runs or end > runs[-1][1]:
            runs.append((start, end))
    texts = []
    for place in range(len(apart)):
        mine = [number for number, (start, end) in enumerate(runs) if start <= place < end]
        texts.append(_letter(mine[0]) if len(mine) == 1 else f"{_letter(mine[0])}–{_letter(mine[-1])}")
    return texts


def _letter(number: int) -> str:
    text = chr(ord("a") + number % 26)
    return text if number < 26 else _letter(number // 26 - 1) + text


def ranks(apart: np.ndarray, difference: np.ndarray, less_is_better: bool) -> list[str]:
    """The places that each method may have, "1", "2–5": behind those that are better beyond a test, before those that
    are worse."""
    worse = apart & ((difference > 0) if less_is_better else (difference < 0))
    better = apart & ~worse
    first, last = 1 + worse.sum(1), len(apart) - better.sum(1)
    return [str(low) if low == high else f"{low}–{high}" for low, high in zip(first, last, strict=True)]
