"""Resampling pictures: pairs grouped by picture, pictures by equal content, and averages in resamples of them.

Pictures with the same answers are exchangeable: resampling P pictures is a multinomial draw over the kinds of pictures
there are, with no approximation. All functions are deterministic: same data, same seed, same result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from eval.files.places import cores

if TYPE_CHECKING:  # a table without intervals needs none of it
    from numpy.typing import ArrayLike
    from scipy import sparse

RESAMPLES = 10_000
CHUNK = 1_000_000  # entries of a block of resampling weights: 8 MB
TILE = 32  # resamples at a time where there are many kinds: their sums stay in the processor's caches


@dataclass(frozen=True)
class Kinds:
    """Pairs grouped by picture, pictures grouped by equal content.

    pictures: (K,) how many pictures there are of each kind. counts: (K,C) pairs of each class in a picture of that
    kind (C=1 where the average is over pairs). sums: for each of M methods (K,C) sums of the values of those pairs.
    """

    pictures: np.ndarray
    counts: sparse.csr_matrix
    sums: list[sparse.csr_matrix]

    def averages(self, weights: np.ndarray) -> np.ndarray:
        """(B,M): the average of each method when kind k occurs weights[:, k] times; weights (B,K).

        The mean over classes of each class's mean; a class that a resample lacks is left out of it.
        """
        return self.averages_of(tiles(weights, self.counts.dtype))

    def averages_of(self, columns: Sequence[np.ndarray]) -> np.ndarray:
        """The same of weights as `tiles` has them."""
        return np.concatenate([self._averages(tile) for tile in columns])

    def _averages(self, tile: np.ndarray) -> np.ndarray:
        size, width = self.counts.shape[1], tile.shape[1]
        counts, *sums = (self._beside.T @ tile).astype(float, copy=False).reshape(-1, size, width)
        shown = counts > 0
        means = [np.divide(each, counts, out=np.zeros_like(counts), where=shown) for each in sums]
        return np.stack([mean.sum(0) / shown.sum(0) for mean in means], 1)

    @cached_property
    def _beside(self) -> sparse.csr_matrix:
        """counts and sums side by side: one product reads a tile once."""
        from scipy import sparse

        return sparse.hstack([self.counts, *self.sums], format="csr")

    def narrow(self) -> Kinds:
        """The same in float32 where every sum of a resample is a whole number that it holds exactly, as hits are."""
        matrices = (self.counts, *self.sums)
        largest = self.pictures.sum() * max(np.abs(matrix.data).max() for matrix in matrices)
        if largest >= 2**24 or any((matrix.data % 1).any() for matrix in matrices):
            return self
        return Kinds(self.pictures, self.counts.astype(np.float32), [sums.astype(np.float32) for sums in self.sums])

    @property
    def varied(self) -> bool:
        """Whether nearly every picture is a kind of its own: drawing pictures is then faster than drawing kinds."""
        return 4 * len(self.pictures) > self.pictures.sum()

    @property
    def plain(self) -> bool:
        """Whether the average is over pairs."""
        return self.counts.shape[1] == 1

    def alone(self, method: int) -> Kinds:
        """The same of one method, in the same order."""
        return Kinds(self.pictures, self.counts, [self.sums[method]])

    def of_pictures(self) -> Kinds:
        """The same with a line a picture."""
        return Kinds(
            np.ones(int(self.pictures.sum()), int),
            self._repeated(self.counts),
            [self._repeated(sums) for sums in self.sums],
        )

    def _repeated(self, matrix: sparse.csr_matrix) -> sparse.csr_matrix:
        return matrix[np.repeat(np.arange(len(self.pictures)), self.pictures)]

    @property
    def observed(self) -> np.ndarray:
        """(M,): the averages of the data themselves."""
        return self.averages(self.pictures[None].astype(float))[0]


def tiles(weights: np.ndarray, dtype: np.dtype) -> list[np.ndarray]:
    """Weights (B,K) as columns (K,b) of TILE resamples each, of more where there are few kinds. Sparse matrices
    multiply them as they lie in memory."""
    wide = max(TILE, CHUNK // 4 // weights.shape[1])
    return [np.ascontiguousarray(weights[start : start + wide].T, dtype) for start in range(0, len(weights), wide)]


def kinds(pictures: ArrayLike, values: np.ndarray, classes: ArrayLike | None = None) -> Kinds:
    """Group n pairs.

    pictures: (n,) which picture each belongs to, any labels. values: (n,) or (n,M) finite, one column a method.
    classes: (n,) any labels for the mean over classes; None for the mean over pairs. ValueError without pairs.
    """
    from scipy import sparse

    values = np.asarray(values, float)
    values = values[:, None] if values.ndim == 1 else values
    if not len(values):
        raise ValueError("there are no pairs to average")
    if not np.isfinite(values).all():
        raise ValueError("values to average must be finite")
    picture = pd.factorize(np.asarray(pictures))[0]
    label = np.zeros(len(values), int) if classes is None else pd.factorize(np.asarray(classes), sort=True)[0]
    # Equal pairs get equal codes, in the order of their class and values.
    code = label
    for column in values.T:
        known, number = np.unique(column, return_inverse=True)
        code = _dense(code * len(known) + number)
    first = np.empty(int(code.max()) + 1, int)
    first[code[::-1]] = np.arange(len(code))[::-1]
    known = np.column_stack([label, values])[first]
    # A line per picture: the codes of its pairs, sorted, padded with -1.
    order = np.argsort(picture * len(known) + code)
    picture, code = picture[order], code[order]
    lengths = np.bincount(picture)
    starts = np.cumsum(lengths) - lengths
    content = np.full((len(lengths), lengths.max()), -1)
    content[picture, np.arange(len(picture)) - starts[picture]] = code
    kind_of = content[:, 0]
    for column in content.T[1:]:
        kind_of = _dense(kind_of * (len(known) + 1) + column + 1)
    kind_of = _dense(kind_of)
    number = np.bincount(kind_of)
    first = np.empty(len(number), int)
    first[kind_of] = np.arange(len(kind_of))
    content = content[first]
    kind, place = np.nonzero(content >= 0)
    pair = known[content[kind, place]]
    shape = (len(content), int(label.max()) + 1)

    def matrix(entries: np.ndarray) -> sparse.csr_matrix:
        return sparse.csr_matrix((entries, (kind, pair[:, 0].astype(int))), shape)

    sums = [matrix(pair[:, 1 + method]) for method in range(values.shape[1])]
    return Kinds(number, matrix(np.ones(len(kind))), sums)


def _dense(codes: np.ndarray) -> np.ndarray:
    """The ranks 0, 1, ... of whole numbers from 0 on; equal numbers share one."""
    size = int(codes.max()) + 1
    if size > 4 * len(codes) + 1024:
        return np.unique(codes, return_inverse=True)[1]
    there = np.zeros(size, bool)
    there[codes] = True
    return (np.cumsum(there) - 1)[codes]


def average(values: np.ndarray, classes: ArrayLike | None = None) -> float:
    """The mean of values (n,), or over classes of their means; arguments as `kinds`, which it need not build."""
    if classes is None:
        return float(values.mean())
    label = pd.factorize(np.asarray(classes), sort=True)[0]
    return float((np.bincount(label, values) / np.bincount(label)).mean())


def bootstrap(groups: Kinds, resamples: int = RESAMPLES, seed: int = 0) -> np.ndarray:
    """(B,M): the methods' averages in B resamples of the pictures, the same pictures for all methods (paired)."""
    return bootstraps([groups], resamples, seed)[0]


def bootstraps(several: Sequence[Kinds], resamples: int = RESAMPLES, seed: int = 0) -> list[np.ndarray]:
    """`bootstrap` of each. Those of as many pictures share what is drawn, which costs more than all the rest."""
    found: dict[int, np.ndarray] = {}
    alike: dict[int, list[int]] = {}
    for place, groups in enumerate(several):
        if groups.varied:
            alike.setdefault(int(groups.pictures.sum()), []).append(place)
        else:
            weights = resampled(groups, resamples, seed)
            found[place] = np.concatenate([groups.averages(block) for block in weights])
    for total, places in alike.items():
        each = [several[place].of_pictures() for place in places]
        found |= zip(places, _together(each, total, resamples, seed), strict=True)
    return [found[place] for place in range(len(several))]


def resampled(groups: Kinds, resamples: int = RESAMPLES, seed: int = 0) -> Iterator[np.ndarray]:
    """Blocks of weights (b,K) float64: how often each kind occurs among as many pictures drawn with replacement."""
    total, count = int(groups.pictures.sum()), len(groups.pictures)
    size = max(1, CHUNK // max(count, groups.counts.shape[1]))
    if groups.varied:
        starts = np.cumsum(groups.pictures) - groups.pictures
        yield from (np.add.reduceat(drawn, starts, axis=1) for drawn in _drawn(total, size, resamples, seed))
        return
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, size):
        block = min(size, resamples - start)
        yield generator.multinomial(total, groups.pictures / total, size=block).astype(float)


def _drawn(total: int, size: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Blocks of at most `size` lines (b,total) float64: how often each picture is drawn."""
    generator = np.random.default_rng(seed)
    for start in range(0, resamples, size):
        weights = np.empty((min(size, resamples - start), total))
        for line in weights:
            line[:] = np.bincount(generator.integers(total, size=total), minlength=total)
        yield weights


def _together(several: Sequence[Kinds], total: int, resamples: int, seed: int) -> Iterator[np.ndarray]:
    """The averages of each in the same resamples: one product of matrices for all averages over pairs."""
    columns = [m.toarray() for groups in several if groups.plain for m in (groups.counts, *groups.sums)]
    plain = np.concatenate(columns, 1) if columns else np.empty((total, 0))
    size = max(1, CHUNK // max(total, *(groups.counts.shape[1] for groups in several)) // TILE) * TILE
    blocks: list[list[np.ndarray]] = [[] for _ in several]
    by_class = [(groups.narrow(), found) for groups, found in zip(several, blocks, strict=True) if not groups.plain]
    kept = {groups.counts.dtype for groups, _ in by_class}
    with ThreadPoolExecutor(cores()) as threads:  # sparse products let other threads run
        for weights in _drawn(total, size, resamples, seed):
            product, at = weights @ plain, 0
            for groups, found in zip(several, blocks, strict=True):
                if groups.plain:
                    end = at + 1 + len(groups.sums)
                    found.append(product[:, at + 1 : end] / product[:, at : at + 1])
                    at = end
            cut = {dtype: tiles(weights, dtype) for dtype in kept}
            calls = [threads.submit(groups.averages_of, cut[groups.counts.dtype]) for groups, _ in by_class]
            for (_, found), call in zip(by_class, calls, strict=True):
                found.append(call.result())
    return map(np.concatenate, blocks)
