"""Pictures from patches, and pictures and fields enlarged for the next level; laid out as in `gpnncam.patchmatch`."""

from __future__ import annotations

import numpy as np

from gpnncam.levels import ROW
from gpnncam.patches import PADDING, add_patch, kernel, take_patch
from gpnncam.pyramid import PATCH


@kernel
def average(field, values, total, result):
    """Put every patch's source patch in its place and average the overlaps, into `result` (h, 3 w + 8), rounded.

    Each pixel is divided by the number of patches that really cover it. Patches eight columns apart are added in turn,
    because adding neighbours one after the other would make each wait for the stores of the one before.
    """
    h, w = field.shape
    total[: h + PATCH - 1] = 0
    for y in range(h):
        for phase in range(8):
            for x in range(phase, w, 8):
                code = field[y, x]
                where = np.int64(code >> 16) * values.shape[1] + 3 * np.int64(code & 65535)
                add_patch(total, np.int64(y) * total.shape[1] + 3 * x, values, where)
    _divide(total, result, h, w)


@kernel
def average_again(before, field, values, total, result):
    """`average` where `total` holds the sums of the field `before`: only patches whose source changed are touched."""
    h, w = field.shape
    for y in range(h):
        for x in range(w):
            old, code = before[y, x], field[y, x]
            if old != code:
                at = np.int64(y) * total.shape[1] + 3 * x
                take_patch(total, at, values, np.int64(old >> 16) * values.shape[1] + 3 * np.int64(old & 65535))
                add_patch(total, at, values, np.int64(code >> 16) * values.shape[1] + 3 * np.int64(code & 65535))
    _divide(total, result, h, w)


@kernel
def _divide(total, result, h, w):
    """The sums (h + 6, 3 (w + 6)) over the number of patches that cover each pixel, rounded."""
    height, width = h + PATCH - 1, w + PATCH - 1
    across = np.empty(3 * width, np.float32)
    for k in range(3 * width):
        across[k] = min(k // 3 + 1, PATCH, w, width - k // 3)
    for y in range(height):
        over = np.float32(min(y + 1, PATCH, h, height - y))
        for k in range(3 * width):
            result[y, k] = np.int16(np.float32(total[y, k]) / (over * across[k]) + np.float32(0.5))


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
    lefts = np.empty(w, np.int64)
    for x in range(w):
        lefts[x] = min(max(np.int64(np.floor((x + half) / scale_x - half + 0.5)), 0), coarse.shape[1] - 1)
    for y in range(h):
        above = min(max(np.int64(np.floor((y + half) / scale_y - half + 0.5)), 0), coarse.shape[0] - 1)
        for x in range(w):
            code = coarse[above, lefts[x]]
            row = y + np.int64(np.floor(((code >> 16) - above) * scale_y + 0.5))
            column = x + np.int64(np.floor(((code & 65535) - lefts[x]) * scale_x + 0.5))
            field[y, x] = np.int32(min(max(row, 0), h - 1) * ROW + min(max(column, 0), w - 1))
