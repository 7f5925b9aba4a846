"""Nearest patches on the CPU: PatchMatch (Barnes et al. 2009) and exact search over one level, and averages of patches.

A field holds for every patch of the query, by its top-left corner, the top-left corner of its source patch packed as
row * 65536 + column (int32). Pictures come in the padded layout of `gpnncam.patches`. Scores are squared distances
summed over the 147 values of a patch (whole numbers), times the key's weight where weights are given: with weights
1 / (alpha + min over queries) this is GPNN's completeness score (section 4.1, equation 1).
"""

from __future__ import annotations

import numpy as np

from gpnncam.levels import ROW
from gpnncam.patches import PADDING, add_patch, distance_full, distance_head, distance_tail, kernel
from gpnncam.pyramid import PATCH


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
            best = _current(query, at, key, code, weight)
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
            random += np.uint64(0x9E3779B97F4A7C15)
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
            scores[y, x] = best
            if code != first:
                field[y, x] = code
                changed += 1
    state[0] = random
    return changed


@kernel
def _block_sums(image, rows, columns):
    """(12, patches) float32: per patch, colour and quarter of it, the sum divided by the root of the quarter's size.

    The squared distance between two patches' columns is at most that between the patches themselves (Cauchy-Schwarz);
    here they are a little smaller still, by far more than float32 can round.
    """
    sums = np.empty((12, rows * columns), np.float32)
    for row in range(rows):
        for column in range(columns):
            for block in range(4):
                top, left = 4 * (block // 2), 4 * (block % 2)
                bottom, right = 4 + 3 * (block // 2), 4 + 3 * (block % 2)
                norm = np.float32(0.9999 / np.sqrt((bottom - top) * (right - left)))
                for colour in range(3):
                    total = np.int32(0)
                    for y in range(row + top, row + bottom):
                        for x in range(column + left, column + right):
                            total += image[y, 3 * x + colour]
                    sums[3 * block + colour, row * columns + column] = total * norm
    return sums


@kernel
def exact(query, key, weight, field, scores):
    """The nearest key of every query patch, the first in row-major order among equals; returns how many changed.

    A lower bound from twelve block sums rules most keys out. Where the search starts (`field`) decides only how soon
    it ends.
    """
    h, w = field.shape
    rows = key.shape[0] - PATCH + 1
    columns = (key.shape[1] - PADDING) // 3 - PATCH + 1
    query_sums = _block_sums(query, h, w)
    key_sums = _block_sums(key, rows, columns)
    bounds = np.empty((rows * columns + 31) // 32 * 32, np.float32)
    changed = 0
    for y in range(h):
        for x in range(w):
            at = np.int64(y) * query.shape[1] + 3 * x
            best = _current(query, at, key, field[y, x], weight)
            if weight is None:  # noqa: SIM108 (numba drops the other branch only from this form)
                best = np.int32(best + 1)
            else:
                best = np.nextafter(best, np.float32(np.inf))
            bounds[:] = 0
            for k in range(12):
                value = query_sums[k, y * w + x]
                for j in range(rows * columns):
                    difference = key_sums[k, j] - value
                    bounds[j] += difference * difference
            if weight is not None:
                for j in range(rows * columns):
                    bounds[j] *= weight[j // columns, j % columns]
            code = field[y, x]
            for start in range(0, bounds.size, 32):
                limit = np.float32(best)
                left = 0
                for j in range(start, start + 32):  # counted without a branch: most blocks hold no candidate at all
                    left += bounds[j] < limit
                if left == 0:
                    continue
                for j in range(start, min(start + 32, rows * columns)):
                    if bounds[j] < best:
                        other = np.int32((j // columns) * ROW + j % columns)
                        score = _score(query, at, key, other, weight, best)
                        if score < best:
                            best, code = score, other
            scores[y, x] = best
            if code != field[y, x]:
                field[y, x] = code
                changed += 1
    return changed


@kernel
def average(field, values, total, result):
    """Put every patch's source patch in its place and average the overlaps, into `result` (h, 3 w + 8), rounded.

    Each pixel is divided by the number of patches that really cover it. Patches eight columns apart are added in turn,
    because adding neighbours one after the other would make each wait for the stores of the one before.
    """
    h, w = field.shape
    height = h + PATCH - 1
    width = w + PATCH - 1
    total[:height, : 3 * width + PADDING] = 0
    for y in range(h):
        for phase in range(8):
            for x in range(phase, w, 8):
                code = field[y, x]
                where = np.int64(code >> 16) * values.shape[1] + 3 * np.int64(code & 65535)
                add_patch(total, np.int64(y) * total.shape[1] + 3 * x, values, where)
    for y in range(height):
        over = min(y + 1, PATCH, h, height - y)
        for x in range(width):
            count = over * min(x + 1, PATCH, w, width - x)
            for k in range(3 * x, 3 * x + 3):
                result[y, k] = np.int16(np.float32(total[y, k]) / np.float32(count) + np.float32(0.5))


@kernel
def enlarge(image, first_y, weights_y, first_x, weights_x, line, result):
    """Bicubic enlargement of `image` (padded layout) into `result` by the taps of `pyramid.taps`, rounded to 0..255."""
    width = (image.shape[1] - PADDING) // 3
    for y in range(result.shape[0]):
        row = first_y[y]
        a, b, c, d = weights_y[y]
        r1 = min(row + 1, image.shape[0] - 1)
        r2 = min(row + 2, image.shape[0] - 1)
        r3 = min(row + 3, image.shape[0] - 1)
        for k in range(3 * width):
            line[k] = a * image[row, k] + b * image[r1, k] + c * image[r2, k] + d * image[r3, k]
        for x in range(first_x.shape[0]):
            at = 3 * first_x[x]
            a, b, c, d = weights_x[x, 0], weights_x[x, 1], weights_x[x, 2], weights_x[x, 3]
            for k in range(3):
                value = a * line[at + k] + b * line[at + 3 + k] + c * line[at + 6 + k] + d * line[at + 9 + k]
                result[y, 3 * x + k] = np.int16(min(max(value, np.float32(0)), np.float32(255)) + np.float32(0.5))


@kernel
def enlarge_field(coarse, scale_y, scale_x, field):
    """The field of the coarser level, enlarged: a patch keeps its source's offset from its own place."""
    h, w = field.shape
    half = PATCH / 2
    for y in range(h):
        above = min(max(np.int64(np.floor((y + half) / scale_y - half + 0.5)), 0), coarse.shape[0] - 1)
        for x in range(w):
            left = min(max(np.int64(np.floor((x + half) / scale_x - half + 0.5)), 0), coarse.shape[1] - 1)
            code = coarse[above, left]
            row = y + np.int64(np.floor(((code >> 16) - above) * scale_y + 0.5))
            column = x + np.int64(np.floor(((code & 65535) - left) * scale_x + 0.5))
            field[y, x] = np.int32(min(max(row, 0), h - 1) * ROW + min(max(column, 0), w - 1))
