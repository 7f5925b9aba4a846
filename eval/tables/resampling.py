"""Pairs grouped by picture, and sets of pictures: all there are, or some that are drawn.

A picture's pairs share its content, so a picture is what is exchanged or left out, never a pair. Pictures with the same
values are exchangeable: of k of them only the number in a set matters. Deterministic: same data, same seed, same sets.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

RESAMPLES = 10_000
CHUNK = 1_000_000  # entries of a block of what is drawn: 8 MB
EQUAL = 1e-9  # shares of the largest value: two numbers that are nearer are equal, here and in every rank
EXACT = 2**15  # sets are enumerated up to so many, which is any 15 pictures; beyond they are drawn
CHEAP = 64  # drawing the number of one kind costs as much as drawing so many pictures


@dataclass(frozen=True)
class Kinds:
    """Pairs grouped by picture. weights: (P,) the part of each picture in the average, together 1. parts: (P,M) what it
    adds to the average of each of M methods. scale: (M,) the largest value. pairs: how many there are. low, high: of
    all values."""

    weights: np.ndarray
    parts: np.ndarray
    scale: np.ndarray
    pairs: int
    low: float
    high: float

    @property
    def observed(self) -> np.ndarray:
        """(M,): the averages."""
        return self.parts.sum(0)

    def alone(self, method: int) -> Kinds:
        """The same of one method."""
        return Kinds(self.weights, self.parts[:, [method]], self.scale[[method]], self.pairs, self.low, self.high)

    def merged(self) -> Gaps:
        """Of the first method, pictures of one kind together, in an order that is the data's own."""
        each = self.parts[:, 0].copy()
        each[np.abs(each) <= EQUAL * self.weights * self.scale[0]] = 0
        lines = np.column_stack([each, self.weights])
        # Sums of equal parts in another order differ in the last digits, and are one kind all the same.
        scale = np.abs(lines).max(0)
        codes = np.round(lines / np.where(scale > 0, scale, 1) / EQUAL).astype(np.int64)
        order = np.lexsort((codes[:, 1], codes[:, 0]))
        starts = np.flatnonzero(np.r_[True, (np.diff(codes[order], axis=0) != 0).any(1)])
        first = order[starts]
        return Gaps(each[first], self.weights[first], np.diff(np.r_[starts, len(order)]))


def kinds(pictures: ArrayLike, values: ArrayLike, classes: ArrayLike | None = None) -> Kinds:
    """Group n pairs.

    pictures: (n,) which picture each belongs to, any labels. values: (n,) or (n,M) finite, one column a method.
    classes: (n,) any labels for the mean over classes of their means; None for the mean over pairs. ValueError without
    pairs.
    """
    values = np.asarray(values, float)
    values = values[:, None] if values.ndim == 1 else values
    if not len(values):
        raise ValueError("there are no pairs to average")
    if not np.isfinite(values).all():
        raise ValueError("values to average must be finite")
    picture = pd.factorize(np.asarray(pictures))[0]
    part = np.full(len(values), 1 / len(values))
    if classes is not None:
        label = pd.factorize(np.asarray(classes))[0]
        sizes = np.bincount(label)
        part = 1 / (sizes * len(sizes))[label]
    parts = np.column_stack([np.bincount(picture, column * part) for column in values.T])
    scale = np.abs(values).max(0)
    return Kinds(np.bincount(picture, part), parts, scale, len(values), float(values.min()), float(values.max()))


def average(values: np.ndarray, classes: ArrayLike | None = None) -> float:
    """The mean of values (n,), or over classes of their means; arguments as `kinds`, which it need not build."""
    if classes is None:
        return float(values.mean())
    label = pd.factorize(np.asarray(classes), sort=True)[0]
    return float((np.bincount(label, values) / np.bincount(label)).mean())


@dataclass(frozen=True)
class Gaps:
    """The difference of two methods by picture. gaps: (K,) what one picture of each kind adds to the difference of the
    averages. weights: (K,) its part of the averages; over all pictures they sum to 1. pictures: (K,) how many there
    are of the kind."""

    gaps: np.ndarray
    weights: np.ndarray
    pictures: np.ndarray

    @property
    def difference(self) -> float:
        """Of the averages."""
        return float(self.gaps @ self.pictures)

    @property
    def total(self) -> int:
        """How many pictures there are."""
        return int(self.pictures.sum())

    @property
    def differing(self) -> int:
        """How many pictures support one of the methods."""
        return int(self.pictures[self.gaps != 0].sum())

    @property
    def deviation(self) -> float:
        """The standard deviation of the difference."""
        return float(np.sqrt(self.pictures @ (self.gaps - self.difference * self.weights) ** 2))

    @property
    def negative(self) -> Gaps:
        """B against A."""
        return Gaps(-self.gaps[::-1], self.weights[::-1], self.pictures[::-1])


def sets(several: Sequence[Gaps], resamples: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """For each the sets of its pictures: (sums of gaps (N,), sums of weights (N,), chances (N,), together 1)."""
    drawn: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    alike: dict[int, list[int]] = {}
    for place, each in enumerate(several):
        if not _few(each.pictures[each.gaps != 0]) and CHEAP * len(each.gaps) > each.total:
            alike.setdefault(each.total, []).append(place)
    for total, places in alike.items():
        drawn |= zip(places, _together([several[place] for place in places], total, resamples, seed), strict=True)
    for place, each in enumerate(several):
        if _few(each.pictures[each.gaps != 0]):
            yield _enumerated(each, resamples, seed)
            continue
        if place not in drawn:
            sums = _drawn(each.pictures, np.column_stack([each.gaps, each.weights]), resamples, seed)
            drawn[place] = sums[:, 0], sums[:, 1]
        part, weight = drawn.pop(place)
        # With each set its complement, and with the data as they are the set of all pictures and that of none.
        part = np.concatenate([part, each.difference - part, [0, each.difference]])
        weight = np.concatenate([weight, 1 - weight, [0, 1]])
        yield part, np.where(weight < EQUAL / each.total, 0, weight), np.full(len(part), 1 / len(part))


def _few(pictures: np.ndarray) -> bool:
    return float(np.log2(pictures + 1.0).sum()) <= math.log2(EXACT) + EQUAL


def _enumerated(each: Gaps, resamples: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All sets of the pictures that differ; those of the others, which decide no test, are drawn where too many."""
    listed = np.ones(len(each.gaps), bool) if _few(each.pictures) else each.gaps != 0
    pictures = each.pictures[listed]
    numbers = np.indices(tuple(pictures + 1)).reshape(len(pictures), -1) if len(pictures) else np.zeros((0, 1))
    chance = np.ones(numbers.shape[1])
    for count, column in zip(pictures, numbers, strict=True):
        chance = chance * _chances(int(count))[column]
    part, weight = each.gaps[listed] @ numbers, each.weights[listed] @ numbers
    if listed.all():
        return part, weight, chance
    again = -(-resamples // len(part))
    others = _drawn(each.pictures[~listed], each.weights[~listed], again * len(part), seed)
    return np.tile(part, again), np.tile(weight, again) + others, np.tile(chance / again, again)


@functools.cache
def _chances(count: int) -> np.ndarray:
    """(count + 1,): of each number of `count` coins."""
    ways, chances = 1, []
    for number in range(count + 1):
        chances.append(ways / 2**count)
        ways = ways * (count - number) // (number + 1)
    return np.array(chances)


def _drawn(pictures: np.ndarray, values: np.ndarray, draws: int, seed: int) -> np.ndarray:
    """(draws, ...): sums of the kinds' values (K, ...) over sets, each picture being in half of them."""
    generator, size = np.random.default_rng(seed), max(1, CHUNK // len(pictures))
    blocks = (min(size, draws - start) for start in range(0, draws, size))
    return np.concatenate([generator.binomial(pictures, 0.5, (block, len(pictures))) @ values for block in blocks])


def _together(
    several: Sequence[Gaps], total: int, resamples: int, seed: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(sums of gaps, sums of weights), each (resamples,), of the same sets of pictures for all."""
    columns = [np.repeat(values, each.pictures) for each in several for values in (each.gaps, each.weights)]
    beside = np.column_stack(columns)
    generator, blocks = np.random.default_rng(seed), []
    size = max(1, CHUNK // total)
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        bits = np.frombuffer(generator.bytes(-(-count * total // 8)), np.uint8)
        blocks.append(np.unpackbits(bits, count=count * total).reshape(count, total).astype(float) @ beside)
    sums = np.concatenate(blocks)
    return zip(sums[:, ::2].T, sums[:, 1::2].T, strict=True)
