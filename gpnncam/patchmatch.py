"""Nearest patches on the CPU: PatchMatch (Barnes et al. 2009) and exact search over one level.

A field holds for every patch of the query, by its top-left corner, the top-left corner of its source patch packed as
row * 65536 + column (int32). Pictures come in the padded layout of `gpnncam.patches`. Scores are squared distances
summed over the 147 values of a patch (whole numbers), times the key's weight where weights are given: with weights
1 / (alpha + min over queries) this is GPNN's completeness score (section 4.1, equation 1).
"""

from __future__ import annotations

import numpy as np

from gpnncam.levels import ROW
from gpnncam.patches import (
    BLOCK,
    PADDING,
    SUMS,
    below,
    distance_full,
    distance_head,
    distance_tail,
    kernel,
    lowest_bit,
)
from gpnncam.pyramid import PATCH

SLACK = np.float32(32)
"""Twice what float32 can round a lower bound by: some 20 roundings of terms that add up to 4 x 147 x 128^2 at most."""


@kernel
def _score(query, at, key, code, weight, best):
    """Score of key patch `code`, or `best` unchanged as soon as it cannot be below it."""
    where = np.int64(code >> 16) * key.shape[1] + 3 * np.int64(code & 65535)
    if weight is None:
        part = distance_head(query, at, key, where)
        return part if part >= best else np.int32(part + distance_tail(query, at, key, where))
    factor = weight[code >> 16, code & 65535]
    part = distance_head(query, at, key, where)
    if part * factor >= best:
        return best
    return np.float32((part + distance_tail(query, at, key, where)) * factor)


@kernel
def _current(query, at, key, code, weight):
    where = np.int64(code >> 16) * key.shape[1] + 3 * np.int64(code & 65535)
    if weight is None:
        return distance_full(query, at, key, where)
    return np.float32(distance_full(query, at, key, where) * weight[code >> 16, code & 65535])


@kernel
def sweep(query, key, weight, field, scores, backward, radius, state):
    """One pass of PatchMatch in scan order (or against it), in place; returns how many patches changed their source.

    Candidates: the patch's own source, the continuation of its two visited neighbours' sources, and a random one,
    within `radius` and within its square root of the best so far by turns. `state` (1,) uint64 is the random
    generator. `scores` receives the score of every patch.
    """
    h, w = field.shape
    last_row = np.int64(key.shape[0] - PATCH)
    last_column = np.int64((key.shape[1] - PADDING) // 3 - PATCH)
    near = np.int64(np.sqrt(radius)) + 1
    random = state[0]
    changed = 0
    step = -1 if backward else 1
    for i in range(h):
        y = h - 1 - i if backward else i
        for j in range(w):
            x = w - 1 - j if backward else j
            at = np.int64(y) * query.shape[1] + 3 * x
            first = field[y, x]
            code = first
            random += np.uint64(0x9E3779B97F4A7C15)
            best = _current(query, at, key, code, weight)
            scores[y, x] = best
            if best == 0:  # nothing is nearer
                continue
            if j > 0:
                other = field[y, x - step] + step
                column = np.int64(other & 65535)
                if other != code and column <= last_column:
                    score = _score(query, at, key, other, weight, best)
                    if score < best:
                        best, code = score, other
            if i > 0:
                other = field[y - step, x] + step * ROW
                row = np.int64(other >> 16)
                if other != code and 0 <= row <= last_row:
                    score = _score(query, at, key, other, weight, best)
                    if score < best:
                        best, code = score, other
            bits = random
            bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
            bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
            reach = radius if (x + y) & 1 else near
            row, column = np.int64(code >> 16), np.int64(code & 65535)
            low, high = max(row - reach, 0), min(row + reach, last_row)
            row = low + ((np.int64(bits & np.uint64(65535)) * (high - low + 1)) >> 16)
            bits >>= np.uint64(16)
            low, high = max(column - reach, 0), min(column + reach, last_column)
            column = low + ((np.int64(bits & np.uint64(65535)) * (high - low + 1)) >> 16)
            other = np.int32(row * ROW + column)
            score = _score(query, at, key, other, weight, best)
            if score < best:
                best, code = score, other
            if code != first:
                scores[y, x] = best
                field[y, x] = code
                changed += 1
    state[0] = random
    return changed


@kernel
def _block_sums(image, rows, columns):
    """(patches, 13) float32: per patch, colour and quarter of it, the sum less 128 a pixel, divided by the root of the
    quarter's size; at last the sum of their squares.

    The squared distance between two patches' columns is at most that between the patches themselves (Cauchy-Schwarz).
    """
    sums = np.zeros((rows * columns, SUMS + 1), np.float32)
    halves = np.zeros((2, image.shape[1]), np.int32)
    for row in range(rows):
        for k in range(image.shape[1]):
            halves[0, k] = image[row, k] + image[row + 1, k] + image[row + 2, k] + image[row + 3, k] - 512
            halves[1, k] = image[row + 4, k] + image[row + 5, k] + image[row + 6, k] - 384
        for column in range(columns):
            place = row * columns + column
            for half in range(2):
                tall = np.float32(4 - half)
                for k in range(3 * column, 3 * column + 3):
                    left = halves[half, k] + halves[half, k + 3] + halves[half, k + 6] + halves[half, k + 9]
                    right = halves[half, k + 12] + halves[half, k + 15] + halves[half, k + 18]
                    sums[place, 6 * half + k - 3 * column] = left * np.float32(1 / np.sqrt(4 * tall))
                    sums[place, 6 * half + 3 + k - 3 * column] = right * np.float32(1 / np.sqrt(3 * tall))
            for k in range(SUMS):
                sums[place, SUMS] += sums[place, k] * sums[place, k]
    return sums


@kernel
def _bounded(key, weight, rows, columns):
    """The keys' part of what `gpnncam.patches.below` computes, (blocks, 14, 32) float32; no bound beyond the last."""
    sums = _block_sums(key, rows, columns)
    keys = np.zeros(((len(sums) + BLOCK - 1) // BLOCK, SUMS + 2, BLOCK), np.float32)
    keys[-1, SUMS] = np.inf
    keys[:, SUMS + 1] = 1
    for j in range(len(sums)):
        for k in range(SUMS + 1):
            keys[j // BLOCK, k, j % BLOCK] = sums[j, k]
        if weight is not None:
            keys[j // BLOCK, SUMS + 1, j % BLOCK] = weight[j // columns, j % columns]
    return keys


@kernel
def exact(query, key, weight, field, scores):
    """The nearest key of every query patch, the first in row-major order among equals; returns how many changed.

    A lower bound from twelve block sums rules most keys out. Where the search starts (`field`) decides only how soon
    it ends.
    """
    h, w = field.shape
    rows = key.shape[0] - PATCH + 1
    columns = (key.shape[1] - PADDING) // 3 - PATCH + 1
    keys = _bounded(key, weight, rows, columns)
    terms = _block_sums(query, h, w)
    terms[:, :SUMS] *= -2
    terms[:, SUMS] -= SLACK
    codes = np.empty(rows * columns, np.int32)
    for j in range(rows * columns):
        codes[j] = (j // columns) * ROW + j % columns
    changed = 0
    for y in range(h):
        for x in range(w):
            at = np.int64(y) * query.shape[1] + 3 * x
            best = _current(query, at, key, field[y, x], weight)
            if weight is None:  # noqa: SIM108 (numba drops the other branch only from this form)
                best = np.int32(best + 1)
            else:
                best = np.nextafter(best, np.float32(np.inf))
            code = field[y, x]
            for block in range(len(keys)):
                left = below(terms, y * w + x, keys, block, np.float32(best))
                while left:
                    other = codes[block * BLOCK + lowest_bit(left)]
                    left &= left - 1
                    score = _score(query, at, key, other, weight, best)
                    if score < best:
                        best, code = score, other
            scores[y, x] = best
            if code != field[y, x]:
                field[y, x] = code
                changed += 1
    return changed
