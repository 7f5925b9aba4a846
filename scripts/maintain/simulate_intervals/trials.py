"""What is simulated: pairs drawn by designs, and the procedures that give them an interval and a test."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy import special

from eval.tables.exchange import LEVEL, Verdict, fewest, gaps, rejects, unseen, verdict
from eval.tables.resampling import Kinds, kinds, sets
from eval.tables.statistics import interval, paired_test


@dataclass(frozen=True, eq=False)
class Drawn:
    """n pairs. pictures: (n,). values: (n,), or (n,2) of two methods. classes: (n,); None: the mean is over pairs."""

    pictures: np.ndarray
    values: np.ndarray
    classes: np.ndarray | None = None

    @cached_property
    def kinds(self) -> Kinds:
        """Of the values, or of the first method's minus the second's."""
        values = self.values if self.values.ndim == 1 else self.values[:, 0] - self.values[:, 1]
        return kinds(self.pictures, values, self.classes)


Draw = Callable[[np.random.Generator, int], Drawn]  # of so many pictures
Procedure = Callable[[Drawn, int], Verdict]  # with so many sets of pictures; p is nan where it has no test of its own


def line(
    name: str, truth: float, draw: Draw, count: int, procedures: Collection[Procedure], trials: int, resamples: int
) -> list[str]:
    """A text for each procedure: how often its interval holds the truth, and contradicts the test."""
    generator = np.random.default_rng([count, sum(map(ord, name))])
    held, apart, none = np.zeros((3, len(procedures)))
    for _ in range(trials):
        drawn = draw(generator, count)
        test = inverted(drawn, resamples).p if drawn.values.ndim > 1 else np.nan
        for place, procedure in enumerate(procedures):
            found = procedure(drawn, resamples)
            p = test if np.isnan(found.p) else found.p
            none[place] += np.isnan(found.low)
            held[place] += np.isnan(found.low) or found.low - 1e-9 <= truth <= found.high + 1e-9
            apart[place] += p == p and (found.low > 1e-9 or found.high < -1e-9) != rejects(p)
    return [
        ("no interval" if without == trials else f"{right / trials:.3f}") + f" ({wrong / trials:.3f})" * bool(wrong)
        for right, wrong, without in zip(held, apart, none, strict=True)
    ]


def split(only_a: float, only_b: float, pairs: int = 1, by_class: bool = False) -> Draw:
    """Hits of two methods; each picture's pairs go together half of the time."""

    def draw(generator: np.random.Generator, count: int) -> Drawn:
        pictures = np.repeat(np.arange(count), pairs)
        own, common = generator.random(count * pairs), generator.random(count)[pictures]
        place = np.where(generator.random(count)[pictures] < 0.5, common, own)
        hits = np.column_stack([place < only_a, (place >= only_a) & (place < only_a + only_b)]).astype(float)
        classes = generator.choice(5, len(pictures), p=[0.5, 0.2, 0.15, 0.1, 0.05]) if by_class else None
        return Drawn(pictures, hits, classes)

    return draw


def values(pairs: int, skewed: bool) -> Draw:
    """Continuous differences with mean 0."""

    def draw(generator: np.random.Generator, count: int) -> Drawn:
        pictures = np.repeat(np.arange(count), pairs)
        noise = generator.gamma(1, 1, count) - 1 if skewed else generator.normal(size=count)
        each = generator.normal(size=count * pairs) * (pairs > 1)
        return Drawn(pictures, np.column_stack([noise[pictures] + each, 0 * each]))

    return draw


def hits(share: float, pairs: int, classes: int = 0) -> Draw:
    """Hits of one method; pictures of several pairs are easy or hard."""

    def draw(generator: np.random.Generator, count: int) -> Drawn:
        pictures = np.repeat(np.arange(count), pairs)
        skill = generator.beta(3 * share, 3 * (1 - share), count) if pairs > 1 else np.full(count, share)
        found = (generator.random(count * pairs) < skill[pictures]).astype(float)
        return Drawn(pictures, found, generator.integers(0, classes, count * pairs) if classes else None)

    return draw


def bootstrap(one: Drawn, resamples: int) -> Verdict:
    """Percentiles over resampled pictures; of fewer than 60 pictures BCa's (Efron, JASA 1987) at the quantiles of t."""
    parts, weights = one.kinds.parts[:, 0], one.kinds.weights
    total, shares = len(parts), np.array([0.025, 0.975])
    if total < 2:
        return Verdict(np.nan, np.nan, np.nan)
    drawn = resampled(total, resamples)
    averages = (drawn @ parts) / (drawn @ weights)
    if total < 60:
        equal = np.abs(averages - parts.sum()) <= 1e-12
        below = ((averages < parts.sum()) & ~equal).mean() + equal.mean() / 2
        bias = special.ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples))
        left = (parts.sum() - parts) / (1 - weights)
        moved = left.mean() - left
        skew = (moved**3).sum() / (6 * max((moved**2).sum(), 1e-12) ** 1.5)
        place = bias + np.sqrt(total / (total - 1)) * special.stdtrit(total - 1, shares)
        shares = special.ndtr(bias + place / np.maximum(1 - skew * place, 1e-9))
    return Verdict(np.nan, *np.quantile(averages, shares))


def studentised(one: Drawn, resamples: int) -> Verdict:
    """Bootstrap-t; with fewer than six differing pictures their exact bound."""
    each = gaps(one.pictures, one.values[:, 0], one.values[:, 1], one.classes)
    if each.differing < fewest():
        bound = unseen(each, each.gaps != 0) * np.abs(one.values).max()
        return Verdict(np.nan, -bound, bound)
    parts, weights = one.kinds.parts[:, 0], one.kinds.weights
    drawn = resampled(len(parts), resamples)
    averages = (drawn @ parts) / (drawn @ weights)
    spread = np.sqrt((drawn * (parts - averages[:, None] * weights) ** 2).sum(1))
    known = spread > 1e-12
    if not known.any():
        return Verdict(np.nan, each.difference, each.difference)
    low, high = np.quantile((averages[known] - each.difference) / spread[known], [0.025, 0.975])
    return Verdict(np.nan, each.difference - high * each.deviation, each.difference - low * each.deviation)


@cache
def resampled(total: int, resamples: int) -> np.ndarray:
    """(resamples, total): how often each picture is drawn; the same for all trials."""
    return np.random.default_rng(0).multinomial(total, np.full(total, 1 / total), size=resamples).astype(float)


def inverted(one: Drawn, resamples: int) -> Verdict:
    """The exchange test inverted, and nothing else."""
    return verdict(*next(sets([one.kinds.merged()], resamples, 0)), LEVEL)


def compared(one: Drawn, resamples: int) -> Verdict:
    """What tables print of two methods."""
    a, b = one.values.T
    found = paired_test(one.pictures, a, b, one.classes, resamples=resamples)
    return Verdict(found.exchange, found.low, found.high)


def alone(one: Drawn, resamples: int) -> Verdict:
    """What tables print of one method."""
    return Verdict(np.nan, *interval(one.kinds, resamples=resamples))


# {name: (the average, or the difference of averages, that intervals should hold, how pairs are drawn)}, procedures.
PAIRED = (
    {
        "hits, 5 % each way": (0, split(0.05, 0.05)),
        "hits, 15 % and 5 %": (0.1, split(0.15, 0.05)),
        "hits, 30 % each way": (0, split(0.3, 0.3)),
        "hits, 60 % and 0 %": (0.6, split(0.6, 0)),
        "hits, three pairs, 5 % each way": (0, split(0.05, 0.05, 3)),
        "hits, three pairs, 25 % and 15 %": (0.1, split(0.25, 0.15, 3)),
        "hits, two pairs, mean over five classes, 25 % and 15 %": (0.1, split(0.25, 0.15, 2, by_class=True)),
        "normal values": (0, values(1, False)),
        "skewed values (exponential)": (0, values(1, True)),
        "normal values, three pairs": (0, values(3, False)),
    },
    {
        "bootstrap: BCa at quantiles of t below 60, percentiles above": bootstrap,
        "studentised bootstrap, with a floor": studentised,
        "exchange test inverted": inverted,
        "the same with the bound (chosen)": compared,
    },
)
SINGLE = (
    {
        "hits, 70 %": (0.7, hits(0.7, 1)),
        "hits, 95 %": (0.95, hits(0.95, 1)),
        "hits, three pairs, 70 %": (0.7, hits(0.7, 3)),
        "hits, three pairs, 90 %": (0.9, hits(0.9, 3)),
        "hits, three pairs, mean over five classes, 70 %": (0.7, hits(0.7, 3, 5)),
        "skewed shares (beta)": (0.2, lambda generator, count: Drawn(np.arange(count), generator.beta(1, 4, count))),
    },
    {
        "bootstrap: BCa at quantiles of t below 60, percentiles above": bootstrap,
        "all sets of pictures (chosen for px)": inverted,
        "binomial of effective trials (chosen)": alone,
    },
)
