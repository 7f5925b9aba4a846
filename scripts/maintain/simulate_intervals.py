"""How often intervals hold the truth, and how often they contradict the exchange test: the tables of the choice.

python -m scripts.maintain.simulate_intervals > results/tables/intervals.md         about ten minutes
python -m scripts.maintain.simulate_intervals --trials 100 --pictures 8 30          a quick look

Each line is a design and a number of pictures, each column a procedure. A value is the share of trials whose 95 %
interval holds the truth (0.95 is right; where the truth is 0, false positives are the rest to 1), and in brackets the
share in which the interval excludes 0 and the exact test at the same level does not reject, or the reverse.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    import numpy as np

PICTURES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 15, 30, 60, 100, 1000)


@dataclass(frozen=True, eq=False)
class Drawn:
    """n pairs. pictures: (n,). values: (n,), or (n,2) of two methods. classes: (n,); None: the mean is over pairs."""

    pictures: np.ndarray
    values: np.ndarray
    classes: np.ndarray | None = None


Draw = Callable[["np.random.Generator", int], Drawn]  # of so many pictures
Procedure = Callable[[Drawn, int], tuple]  # with so many resamples -> low, high, whether the exact test rejects


@dataclass(frozen=True)
class Design:
    """name: in words. truth: the average, or difference of averages, that intervals should hold."""

    name: str
    draw: Draw
    truth: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=1000, help="a line; default: %(default)s")
    parser.add_argument("--resamples", type=int, default=500, help="an interval; default: %(default)s")
    parser.add_argument("--pictures", type=int, nargs="+", default=PICTURES, help="default: %(default)s")


def act(given: argparse.Namespace) -> None:
    from eval.files.markdown import markdown_table

    print("# Intervals and tests by simulation\n")
    words = " ".join((__doc__ or "").split("\n\n")[-1].split())
    print(
        f"`python -m scripts.maintain.simulate_intervals --trials {given.trials} --resamples {given.resamples}`"
        f"\n\n{words}"
    )
    for title, designs, procedures in (
        ("Differences of two methods", paired_designs(), PAIRED),
        ("One method's average", single_designs(), SINGLE),
    ):
        lines = [["design", "pictures", *procedures]]
        for design in designs:
            for count in given.pictures:
                print(f"{title}: {design.name}, {count}", file=sys.stderr)
                lines.append([design.name, f"{count:,}", *_line(design, count, list(procedures.values()), given)])
        print(f"\n## {title}\n\n{markdown_table(lines)}")


def _line(design: Design, count: int, procedures: list[Procedure], given: argparse.Namespace) -> list[str]:
    import numpy as np

    generator = np.random.default_rng([count, sum(map(ord, design.name))])
    held, apart, none = np.zeros((3, len(procedures)))
    for _ in range(given.trials):
        drawn = design.draw(generator, count)
        for place, procedure in enumerate(procedures):
            low, high, rejected = procedure(drawn, given.resamples)
            none[place] += np.isnan(low)
            held[place] += np.isnan(low) or low - 1e-9 <= design.truth <= high + 1e-9
            apart[place] += rejected is not None and bool(low > 1e-9 or high < -1e-9) != rejected
    texts = []
    for each, contradicted, without in zip(held, apart, none, strict=True):
        text = "no interval" if without == given.trials else f"{each / given.trials:.3f}"
        texts.append(text + (f" ({contradicted / given.trials:.3f})" if contradicted else ""))
    return texts


def paired_designs() -> list[Design]:
    """Hits with few and many discordant pairs, one and several a picture, and continuous values."""
    import numpy as np

    def split(only_a: float, only_b: float, pairs: int = 1) -> Draw:
        """Each picture's pairs go together half of the time."""

        def draw(generator: np.random.Generator, count: int) -> Drawn:
            pictures = np.repeat(np.arange(count), pairs)
            own, common = generator.random(count * pairs), generator.random(count)[pictures]
            place = np.where(generator.random(count)[pictures] < 0.5, common, own)
            a, b = place < only_a, (place >= only_a) & (place < only_a + only_b)
            return Drawn(pictures, np.column_stack([a, b]).astype(float))

        return draw

    def by_class(generator: np.random.Generator, count: int) -> Drawn:
        one = split(0.25, 0.15, 2)(generator, count)
        classes = generator.choice(5, len(one.pictures), p=[0.5, 0.2, 0.15, 0.1, 0.05])
        return Drawn(one.pictures, one.values, classes)

    def values(pairs: int, skewed: bool) -> Draw:
        def draw(generator: np.random.Generator, count: int) -> Drawn:
            pictures = np.repeat(np.arange(count), pairs)
            noise = generator.gamma(1, 1, (2, count)) - 1 if skewed else generator.normal(size=(2, count))
            each = generator.normal(size=count * pairs) * (pairs > 1)
            return Drawn(pictures, np.column_stack([noise[0][pictures] + each, 0 * each]))

        return draw

    return [
        Design("hits, 5 % each way", split(0.05, 0.05), 0),
        Design("hits, 2 % each way", split(0.02, 0.02), 0),
        Design("hits, 15 % and 5 %", split(0.15, 0.05), 0.1),
        Design("hits, 30 % each way", split(0.3, 0.3), 0),
        Design("hits, 60 % and 0 %", split(0.6, 0), 0.6),
        Design("hits, three pairs, 5 % each way", split(0.05, 0.05, 3), 0),
        Design("hits, three pairs, 25 % and 15 %", split(0.25, 0.15, 3), 0.1),
        Design("hits, two pairs, mean over five classes, 25 % and 15 %", by_class, 0.1),
        Design("normal values", values(1, False), 0),
        Design("skewed values (exponential)", values(1, True), 0),
        Design("normal values, three pairs", values(3, False), 0),
    ]


def single_designs() -> list[Design]:
    """Hits and continuous values of one method."""
    import numpy as np

    def hits(share: float, pairs: int, classes: int = 0) -> Draw:
        def draw(generator: np.random.Generator, count: int) -> Drawn:
            pictures = np.repeat(np.arange(count), pairs)
            skill = generator.beta(3 * share, 3 * (1 - share), count) if pairs > 1 else np.full(count, share)
            found = (generator.random(count * pairs) < skill[pictures]).astype(float)
            return Drawn(pictures, found, generator.integers(0, classes, count * pairs) if classes else None)

        return draw

    def energy(generator: np.random.Generator, count: int) -> Drawn:
        return Drawn(np.arange(count), generator.beta(1, 4, count))

    return [
        Design("hits, 70 %", hits(0.7, 1), 0.7),
        Design("hits, 95 %", hits(0.95, 1), 0.95),
        Design("hits, three pairs, 70 %", hits(0.7, 3), 0.7),
        Design("hits, three pairs, 90 %", hits(0.9, 3), 0.9),
        Design("hits, three pairs, mean over five classes, 70 %", hits(0.7, 3, 5), 0.7),
        Design("skewed shares (beta)", energy, 0.2),
    ]


def _bootstrap(bca: bool) -> Procedure:
    """Percentiles over resampled pictures; of fewer than 60 pictures BCa's (Efron, JASA 1987) at the quantiles of t."""

    def procedure(one: Drawn, resamples: int) -> tuple:
        import numpy as np
        from scipy import special

        parts, weights = _parts(one)
        total = len(parts)
        if total < 2:
            return np.nan, np.nan, None
        drawn = _resampled(total, resamples)
        values = (drawn @ parts) / (drawn @ weights)
        shares = np.array([0.025, 0.975])
        if bca and total < 60:
            equal = np.abs(values - parts.sum()) <= 1e-12
            below = ((values < parts.sum()) & ~equal).mean() + equal.mean() / 2
            bias = special.ndtri(np.clip(below, 1 / resamples, 1 - 1 / resamples))
            left = (parts.sum() - parts) / (1 - weights)
            moved = left.mean() - left
            skew = (moved**3).sum() / (6 * max((moved**2).sum(), 1e-12) ** 1.5)
            place = bias + np.sqrt(total / (total - 1)) * special.stdtrit(total - 1, shares)
            shares = special.ndtr(bias + place / np.maximum(1 - skew * place, 1e-9))
        return *np.quantile(values, shares), _rejected(one, resamples)

    return procedure


def _studentised(one: Drawn, resamples: int) -> tuple:
    """Bootstrap-t; with fewer than six differing pictures their exact bound."""
    import numpy as np

    from eval.tables.exchange import fewest, gaps, unseen

    each, rejected = gaps(one.pictures, *one.values.T, one.classes), _rejected(one, resamples)
    if each.differing < fewest():
        bound = unseen(each, each.gaps != 0) * np.abs(one.values).max()
        return -bound, bound, rejected
    parts, weights = _parts(one)
    total = len(parts)
    drawn = _resampled(total, resamples)
    averages = (drawn @ parts) / (drawn @ weights)
    spread = np.sqrt((drawn * (parts - averages[:, None] * weights) ** 2).sum(1))
    known = spread > 1e-12
    if not known.any():
        return each.difference, each.difference, rejected
    low, high = np.quantile((averages[known] - each.difference) / spread[known], [0.025, 0.975])
    return each.difference - high * each.deviation, each.difference - low * each.deviation, rejected


@functools.cache
def _resampled(total: int, resamples: int) -> np.ndarray:
    """(resamples, total) float64: how often each picture is drawn; the same for all trials."""
    import numpy as np

    drawn = np.random.default_rng(0).multinomial(total, np.full(total, 1 / total), size=resamples)
    return drawn.astype(float)


@functools.lru_cache(maxsize=1)
def _sets(one: Drawn, resamples: int) -> tuple:
    """The exchange test inverted, and nothing else."""
    from eval.tables.exchange import rejects, verdict
    from eval.tables.resampling import kinds, sets

    values = one.values if one.values.ndim == 1 else one.values[:, 0] - one.values[:, 1]
    found = verdict(*next(sets([kinds(one.pictures, values, one.classes).merged()], resamples, 0)), 0.95)
    return found.low, found.high, rejects(found.p) if one.values.ndim > 1 else None


def _compared(one: Drawn, resamples: int) -> tuple:
    """What tables print: `statistics.paired_test`."""
    from eval.tables.exchange import rejects
    from eval.tables.statistics import paired_test

    found = paired_test(one.pictures, *one.values.T, one.classes, resamples=resamples)
    return found.low, found.high, rejects(found.exchange)


def _alone(one: Drawn, resamples: int) -> tuple:
    """What tables print: `statistics.interval`."""
    from eval.tables.resampling import kinds
    from eval.tables.statistics import interval

    return *interval(kinds(one.pictures, one.values, one.classes), resamples=resamples), None


def _parts(one: Drawn) -> tuple[np.ndarray, np.ndarray]:
    from eval.tables.resampling import kinds

    values = one.values if one.values.ndim == 1 else one.values[:, 0] - one.values[:, 1]
    groups = kinds(one.pictures, values, one.classes)
    return groups.parts[:, 0], groups.weights


def _rejected(one: Drawn, resamples: int) -> bool | None:
    return None if one.values.ndim == 1 else _sets(one, resamples)[2]


PAIRED = {
    "percentile bootstrap": _bootstrap(False),
    "BCa at quantiles of t below 60": _bootstrap(True),
    "studentised, with a floor": _studentised,
    "exchange test inverted": _sets,
    "the same with the bound (chosen)": _compared,
}
SINGLE = {
    "percentile bootstrap": _bootstrap(False),
    "BCa at quantiles of t below 60": _bootstrap(True),
    "all sets of pictures (chosen for px)": _sets,
    "binomial of effective trials (chosen)": _alone,
}

main = command(Command("scripts.maintain.simulate_intervals", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
