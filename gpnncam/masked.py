"""Nearest patches and averages where a part of the picture is missing: the search behind `gpnncam.fill`.

Pictures and fields are laid out as in `gpnncam.patchmatch`. `touched` (h, w) int8 says of every patch whether it
holds a removed pixel. Touched patches are the queries; the others are whole, are the sources, and are their own source.
"""

from __future__ import annotations

import numpy as np

from gpnncam.levels import ROW
from gpnncam.patches import PADDING, add_patch, distance_full, distance_head, distance_tail, kernel
from gpnncam.pyramid import PATCH


@kernel
def shrink(image, rows, columns, result):
    """Resample `image` (H, W, 4) by the sparse matrices (h, H) and (w, W) into `result` (h, w, 4)."""
    line = np.empty((image.shape[1], 4))
    first = np.zeros(len(columns), np.int64)
    last = np.zeros(len(columns), np.int64)
    for x in range(len(columns)):
        used = np.flatnonzero(columns[x])
        first[x], last[x] = used[0], used[-1] + 1
    for y in range(len(rows)):
        line[:] = 0
        for row in np.flatnonzero(rows[y]):
            weight = rows[y, row]
            for x in range(image.shape[1]):
                for k in range(4):
                    line[x, k] += weight * image[row, x, k]
        for x in range(len(columns)):
            a = b = c = d = 0.0
            for column in range(first[x], last[x]):
                weight = columns[x, column]
                a += weight * line[column, 0]
                b += weight * line[column, 1]
                c += weight * line[column, 2]
                d += weight * line[column, 3]
            result[y, x, 0], result[y, x, 1], result[y, x, 2], result[y, x, 3] = a, b, c, d


@kernel
def complete(coarse, image, share, hole, result):
    """What remains of `image` (h, w, 3); in the hole (h, w) what is enlarged, by the remaining share the image's."""
    for y in range(hole.shape[0]):
        for x in range(hole.shape[1]):
            for k in range(3):
                value = np.float64(image[y, x, k])
                if hole[y, x]:
                    enlarged = np.float64(coarse[y, 3 * x + k])
                    value = np.rint(enlarged + share[y, x] * (value - enlarged))
                result[y, 3 * x + k] = np.int16(value)


@kernel
def touch(hole, touched):
    """Mark the patches of `hole` (H, W) that hold a removed pixel; returns how many are whole."""
    h, w = touched.shape
    below = np.zeros((h, hole.shape[1]), np.int8)
    for y in range(h):
        for row in range(y, y + PATCH):
            for x in range(hole.shape[1]):
                below[y, x] |= hole[row, x]
    whole = 0
    for y in range(h):
        for x in range(w):
            touched[y, x] = 0
            for column in range(x, x + PATCH):
                touched[y, x] |= below[y, column]
            whole += 1 - touched[y, x]
    return whole


@kernel
def settle(field, touched):
    """Give every patch a whole source: its own place where it is whole, else the nearest whole one to what it has."""
    h, w = field.shape
    for y in range(h):
        for x in range(w):
            if not touched[y, x]:
                field[y, x] = np.int32(y * ROW + x)
                continue
            row, column = np.int64(field[y, x] >> 16), np.int64(field[y, x] & 65535)
            reach = 0
            while touched[row, column] and reach < max(h, w):
                reach += 1
                top, left = max(row - reach, 0), max(column - reach, 0)
                bottom, right = min(row + reach, h - 1), min(column + reach, w - 1)
                for a in range(top, bottom + 1):
                    edge = a in (row - reach, row + reach)
                    for b in range(left, right + 1):
                        if (edge or b in (column - reach, column + reach)) and not touched[a, b]:
                            row, column = a, b
                            break
                    if not touched[row, column]:
                        break
            field[y, x] = np.int32(row * ROW + column)


@kernel
def nearest(query, key, touched, field):
    """The nearest whole patch of `key` for every touched patch of `query`, first among equals; how many changed."""
    h, w = field.shape
    stride = key.shape[1]
    changed = 0
    for y in range(h):
        for x in range(w):
            if not touched[y, x]:
                continue
            at = np.int64(y) * query.shape[1] + 3 * x
            first = field[y, x]
            # One more than the present distance, so that an equal one earlier in the order wins as well.
            best = np.int32(distance_full(query, at, key, np.int64(first >> 16) * stride + 3 * (first & 65535)) + 1)
            code = first
            for row in range(h):
                for column in range(w):
                    if touched[row, column]:
                        continue
                    where = np.int64(row) * stride + 3 * column
                    part = distance_head(query, at, key, where)
                    if part < best:
                        score = np.int32(part + distance_tail(query, at, key, where))
                        if score < best:
                            best, code = score, np.int32(row * ROW + column)
            if code != first:
                field[y, x] = code
                changed += 1
    return changed


@kernel
def sweep(query, key, touched, field, backward, radius, state):
    """One pass of PatchMatch over the touched patches, as `gpnncam.patchmatch.sweep`; how many changed their source."""
    h, w = field.shape
    stride = key.shape[1]
    near = np.int64(np.sqrt(radius)) + 1
    random = state[0]
    changed = 0
    step = -1 if backward else 1
    for i in range(h):
        y = h - 1 - i if backward else i
        for j in range(w):
            x = w - 1 - j if backward else j
            if not touched[y, x]:
                continue
            at = np.int64(y) * query.shape[1] + 3 * x
            first = field[y, x]
            code = first
            best = distance_full(query, at, key, np.int64(first >> 16) * stride + 3 * np.int64(first & 65535))
            random += np.uint64(0x9E3779B97F4A7C15)
            if best == 0:  # nothing is nearer
                continue
            for candidate in range(3):
                if candidate == 0:
                    if j == 0:
                        continue
                    row, column = np.int64(field[y, x - step] >> 16), np.int64(field[y, x - step] & 65535) + step
                elif candidate == 1:
                    if i == 0:
                        continue
                    row, column = np.int64(field[y - step, x] >> 16) + step, np.int64(field[y - step, x] & 65535)
                else:
                    bits = random
                    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
                    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
                    reach = radius if (x + y) & 1 else near
                    row, column = np.int64(code >> 16), np.int64(code & 65535)
                    low, high = max(row - reach, 0), min(row + reach, h - 1)
                    row = low + ((np.int64(bits & np.uint64(65535)) * (high - low + 1)) >> 16)
                    bits >>= np.uint64(16)
                    low, high = max(column - reach, 0), min(column + reach, w - 1)
                    column = low + ((np.int64(bits & np.uint64(65535)) * (high - low + 1)) >> 16)
                if not (0 <= row < h and 0 <= column < w) or touched[row, column]:
                    continue
                where = row * stride + 3 * column
                part = distance_head(query, at, key, where)
                if part < best:
                    score = np.int32(part + distance_tail(query, at, key, where))
                    if score < best:
                        best, code = score, np.int32(row * ROW + column)
            if code != first:
                field[y, x] = code
                changed += 1
    state[0] = random
    return changed


@kernel
def average(field, touched, hole, values, total, result):
    """Average, in the removed pixels of `result` alone, the source patches of all patches that cover them, rounded."""
    h, w = field.shape
    height, width = hole.shape
    total[:height, : 3 * width + PADDING] = 0
    for y in range(h):
        for phase in range(8):
            for x in range(phase, w, 8):
                if touched[y, x]:
                    where = np.int64(field[y, x] >> 16) * values.shape[1] + 3 * np.int64(field[y, x] & 65535)
                    add_patch(total, np.int64(y) * total.shape[1] + 3 * x, values, where)
    for y in range(height):
        over = min(y + 1, PATCH, h, height - y)
        for x in range(width):
            if hole[y, x]:
                count = np.float32(over * min(x + 1, PATCH, w, width - x))
                for k in range(3 * x, 3 * x + 3):
                    result[y, k] = np.int16(np.float32(total[y, k]) / count + np.float32(0.5))
