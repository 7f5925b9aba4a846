"""Uncertainty of averages over (picture, class) pairs: what varies from sample to sample is the picture.

Classes of one picture share its content, so pictures are exchanged or left out, never pairs (eval/tables/exchange.py).
All functions are deterministic: same data, same seed, same result. results/tables/intervals.md has the simulations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np

from eval.tables.exchange import LEVEL, Verdict, fewest, gaps, verdict, verdicts
from eval.tables.resampling import EQUAL, RESAMPLES, Gaps, Kinds, average, sets

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def interval(
    groups: Kinds,
    method: int = 0,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    span: float | None = None,
) -> tuple[float, float]:
    """(low, high) of one method's average; (nan, nan) where there is none, as for a single picture.

    Of shares, and of correlations from -1 to 1: the exact binomial interval (Clopper and Pearson, 1934) of as many
    trials as show the spread that pictures have (Korn and Graubard, Survey Methodology 1998); where all are 0 or 1, of
    as many trials as there are pictures. Of values without bounds: between quantiles of the averages over all sets of
    pictures, as differences have it. span: 1 or 2 of the former, nan of the latter; None: 1 where all values are in
    [0, 1].
    """
    return intervals([groups.alone(method)], level, resamples, seed, span)[0]


def intervals(
    several: Sequence[Kinds],
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    span: float | None = None,
) -> list[tuple[float, float]]:
    """`interval` of the one method of each."""
    bounded = {}
    for place, one in enumerate(several):
        low = -1.0 if span == 2 else 0.0
        width = 1.0 if span is None else span
        if not math.isnan(width) and low <= one.low and one.high <= low + width:
            bounded[place] = _effective(one, low, width, level)
    left = [one.merged() for place, one in enumerate(several) if place not in bounded]
    found = (verdict(*listed, level) for listed in sets(left, resamples, seed))
    return [bounded[place] if place in bounded else _ends(next(found)) for place in range(len(several))]


def _ends(found: Verdict) -> tuple[float, float]:
    return (found.low, found.high) if math.isfinite(found.low) else (math.nan, math.nan)


def _effective(one: Kinds, lowest: float, width: float, level: float) -> tuple[float, float]:
    from scipy import special

    total = len(one.weights)
    if total < 2:
        return math.nan, math.nan
    parts = (one.parts[:, 0] - lowest * one.weights) / width
    share, trials = min(1.0, max(0.0, float(parts.sum()))), float(total)
    if not (one.low == one.high and one.low in (lowest, lowest + width)):
        # Few pictures know their own spread badly: as many fewer trials as Student's t is wider than a normal one.
        tail = (1 + level) / 2
        known = float(special.ndtri(tail) / special.stdtrit(total - 1, tail)) ** 2
        spread = float(((parts - share * one.weights) ** 2).sum()) * total / (total - 1)
        most = float(one.pairs) if one.low == lowest and one.high == lowest + width else math.inf
        trials = min(known * share * (1 - share) / spread if spread > EQUAL**2 else math.inf, most)
    hits, misses = share * trials, (1 - share) * trials
    if not math.isfinite(trials):
        return lowest + width * share, lowest + width * share
    low = float(special.betaincinv(hits, misses + 1, (1 - level) / 2)) if share > 0 else 0.0
    high = float(special.betaincinv(hits + 1, misses, (1 + level) / 2)) if share < 1 else 1.0
    return lowest + width * low, lowest + width * high


@dataclass(frozen=True)
class Comparison:
    """Method A against method B on the same pairs.

    difference: average_a minus average_b. exchange: p of the exchange test, and low..high all differences that it does
    not reject at this level; nan without a bound. pictures: how many there are; differing: those that support one of
    the methods. resolves: the difference that would be shown four times in five on so many pictures; needed: about how
    many pictures would show the observed one; nan where nothing says so. only_a, only_b: pairs that only one of them
    hits, and mcnemar: the exact p of such a split if both were as good (None for measures other than hits); it takes
    pairs as independent.
    """

    average_a: float
    average_b: float
    difference: float
    low: float
    high: float
    only_a: int | None
    only_b: int | None
    mcnemar: float | None
    exchange: float
    pictures: int
    differing: int
    resolves: float
    needed: float


def paired_test(
    pictures: ArrayLike,
    a: ArrayLike,
    b: ArrayLike,
    classes: ArrayLike | None = None,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = 0,
    span: float | None = None,
) -> Comparison:
    """Comparison of values a and b (n,) of the same n pairs; arguments as `kinds`. ValueError without pairs.

    span: the largest difference that the values of a pair can have; None: 1 of zeros and ones, else unknown.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    each = gaps(pictures, a, b, classes)
    hits = bool(np.isin(a, (0, 1)).all() and np.isin(b, (0, 1)).all())
    span = (1.0 if hits else math.nan) if span is None else span
    found = verdicts([each], level, resamples, seed, span)[0]
    only_a = only_b = p = None
    if hits:
        only_a, only_b = int(((a == 1) & (b == 0)).sum()), int(((a == 0) & (b == 1)).sum())
        p = mcnemar(only_a, only_b)
    ours, other = average(a, classes), average(b, classes)
    resolves, needed = power(each, max(abs(found.low), abs(found.high)), level)
    difference = each.difference if each.differing else 0.0
    return Comparison(ours, other, difference, found.low, found.high, only_a, only_b, p, found.p, each.total,
                      each.differing, resolves, needed)  # fmt: skip


def power(each: Gaps, bound: float, level: float = LEVEL, often: float = 0.8) -> tuple[float, float]:
    """(the difference that these pictures show in `often` of all cases, the pictures that so show the observed one).

    A test at 95 % rejects a difference of z(0.975) + z(0.8) = 2.8 of its standard deviations four times in five, and a
    standard deviation falls with the root of the number of pictures. Nothing is shown where fewer than six pictures
    differ: there the bound of the interval stands, and needed are at least so many that six would.
    """
    deviations = NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(often)
    resolves, least = deviations * each.deviation, fewest(level)
    if each.differing < least:
        resolves = max(resolves, bound) if bound == bound else math.nan
    if not each.differing or abs(each.difference) <= EQUAL * float(np.abs(each.gaps).max() * each.total):
        return resolves, math.nan
    ratio = deviations * each.deviation / each.difference
    return resolves, math.ceil(each.total * max(ratio**2, least / each.differing))


RULE = (
    "Two methods are compared on the pairs that both have, by the exchange test: of all exchanges of their answers, "
    "picture by picture, how many give a difference as large as the observed one? The 95 % interval of a difference "
    "holds what this test does not reject, so it leaves out 0 exactly where p ≤ 0.05; where the methods differ on "
    "fewer than six pictures it cannot reject, and the interval is the exact binomial bound of their share. "
    "A difference is shown (bold, and without ≈ beside the best) where p ≤ 0.05 after Holm's correction for all "
    "comparisons of the table, or of the column."
)


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p: of the pairs that one method alone hits, each is as likely A's as B's."""
    total = only_a + only_b
    ways = accumulate(range(min(only_a, only_b)), lambda have, k: have * (total - k) // (k + 1), initial=1)
    return min(1.0, 2 * sum(ways) / 2**total)


def out_of_reach(comparisons: int, resamples: int) -> str:
    """Why none of so many comparisons can be shown by so many drawn exchanges; "" where one can."""
    least = comparisons / (resamples + 1)
    if least <= 1 - LEVEL + EQUAL:
        return ""
    return (
        f"no difference can be shown: the least p of {resamples:,} drawn exchanges is {1 / (resamples + 1):.2g}, and "
        f"Holm's correction for {comparisons:,} comparisons makes {least:.2g} of it; compare fewer methods, or "
        f"--resamples {math.ceil(comparisons / (1 - LEVEL))}"
    )


def holm(p_values: ArrayLike) -> np.ndarray:
    """Holm's (1979) correction: p-values adjusted for how many comparisons were made; nan is none, and stays."""
    given = np.asarray(p_values, float)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    adjusted = np.full(len(given), np.nan)
    raised = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(raised))
    return adjusted
