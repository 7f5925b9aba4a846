"""The exchange test of two methods, and the interval of all differences that it does not reject.

If two methods were equally good, their answers to any picture could be exchanged: the test counts how many of all
exchanges give a difference as large as the observed one. A difference d is tested alike, after d is taken from A's
values. Exchanging the pictures of a set S takes twice their part from the difference; so d below the observed one is
rejected if few sets have an average difference of at most d. The interval therefore lies between two quantiles of the
averages over all sets of pictures (Hartigan, JASA 1969), and it holds 0 where the test does not reject, and only there.
Results are deterministic: same data, same seed, same result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from eval.tables.resampling import EQUAL, RESAMPLES, Gaps, Kinds, kinds, sets

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

LEVEL = 0.95


def gaps(pictures: ArrayLike, a: ArrayLike, b: ArrayLike, classes: ArrayLike | None = None) -> Gaps:
    """Of values a and b (n,) of n pairs; arguments as `kinds`."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    found = kinds(pictures, a - b, classes)
    largest = np.array([max(np.abs(a).max(), np.abs(b).max())])
    return Kinds(found.weights, found.parts, largest, found.pairs, found.low, found.high).merged()


@dataclass(frozen=True)
class Verdict:
    """p: of the exchange test, two-sided. low, high: all differences that it does not reject; nan without a bound."""

    p: float
    low: float
    high: float


def verdicts(
    several: Sequence[Gaps], level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0, span: float = math.nan
) -> list[Verdict]:
    """The test and the interval of each. Where no more than EXACT sets of pictures matter, they are all counted;
    otherwise `resamples` are drawn, and the data themselves count as one more.

    span: the largest difference that two values of a pair can have, nan where there is none. Where the methods differ
    on fewer pictures than can ever reject (six at 95 %), sets show too little of what other pictures hold: the interval
    is then the exact binomial bound of the share of such pictures, times the span, and nan without a span. Where nearly
    all pictures have one and the same difference, the bound of the share of the others widens it.
    """
    turned = [each.negative if each.difference < 0 else each for each in several]
    lines = []
    for given, used, listed in zip(several, turned, sets(turned, resamples, seed), strict=True):
        found = _widened(used, verdict(*listed, level), level, span)
        lines.append(found if used is given else Verdict(found.p, -found.high, -found.low))
    return lines


def fewest(level: float = LEVEL) -> int:
    """Of how many differing pictures the test can reject at all: all for one method, p = 2 / 2**n."""
    return math.ceil(1 - math.log2(1 - level) - EQUAL)


def rejects(p: Any, level: float = LEVEL) -> Any:
    """Whether a p, or each of an array, is at most 1 - level; nan is not."""
    return p <= (1 - level) * (1 + EQUAL)


def even(values: Any) -> Any:
    """Numbers to compare or rank: those that differ by rounding errors alone are equal."""
    return np.round(values, 9)


def _widened(each: Gaps, found: Verdict, level: float, span: float) -> Verdict:
    """With all that other pictures may hold, where few pictures differ, or few are unlike the others."""
    if each.differing < fewest(level):
        high = span * unseen(each, each.gaps != 0, level)
        return Verdict(found.p, -high, high)
    ratio = each.gaps / each.weights
    common = float(ratio[each.pictures.argmax()])
    unusual = np.abs(ratio - common) > EQUAL * np.abs(ratio).max()
    if math.isnan(span) or each.pictures[unusual].sum() >= min(fewest(level), each.total / 2):
        return found
    share = unseen(each, unusual, level)
    low, high = common - share * (common + span), common + share * (span - common)
    low = found.low if rejects(found.p, level) and low <= 0 else low
    return Verdict(found.p, min(low, found.low), max(high, found.high))


def unseen(each: Gaps, which: np.ndarray, level: float = LEVEL) -> float:
    """The exact binomial bound (Clopper and Pearson, 1934) of the share of pictures of some kinds, which (K,) bool.
    Pictures of unequal weight count as so many of equal weight as have the same spread."""
    from scipy import special  # takes half a second, and many pictures need none of it

    trials = 1 / float(each.pictures @ each.weights**2)
    hits = trials * float(each.pictures[which] @ each.weights[which])
    return 1.0 if trials - hits < EQUAL else float(special.betaincinv(hits + 1, trials - hits, (1 + level) / 2))


def verdict(part: np.ndarray, weight: np.ndarray, chance: np.ndarray, level: float) -> Verdict:
    """Of sets' sums of gaps and weights, and their chances, all (N,). No set is below and above every difference."""
    empty = weight <= 0
    average = np.where(np.abs(part) > EQUAL * np.abs(part).max(), part, 0) / np.where(empty, 1, weight)
    ends = []
    for sign in (1, -1):
        values = np.where(empty, -np.inf, sign * average)
        order = np.argsort(values)
        values, sums = values[order], 2 * np.cumsum(chance[order])
        at_zero = np.searchsorted(values, 0, side="right") - 1
        kept = np.flatnonzero(~rejects(sums, level))[0]
        ends.append((sign * values[kept], float(sums[at_zero]) if at_zero >= 0 else 0.0))
    (low, below), (high, above) = ends
    # Sums of chances are off in their last digits, and no p is below that of the fewest sets.
    return Verdict(float(f"{min(1.0, below, above):.12g}"), float(low), float(high))
