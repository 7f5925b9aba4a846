"""Compiled counts of a map's pixels by level, of which `eval.measures.thresholds` makes its numbers."""

import math

import numpy as np

from eval.measures.stencils import kernel


@kernel
def counted(levels, mask, low, scale, zero, bins):
    """(pixels outside and inside the mask by bin (bins,2), sum of what is above `zero` by bin (bins,)).

    levels (h,w), mask (h,w) uint8. Bin 0 holds the level `low`, where half a map can lie; bin i those up to
    low + i / scale.
    """
    counts, mass = np.zeros(2 * bins, np.int32), np.zeros(bins)
    for y in range(levels.shape[0]):
        for x in range(levels.shape[1]):
            level = levels[y, x]
            at = np.uint32(math.ceil((level - low) * scale))  # unsigned: no index is looked at for being negative
            counts[(at << np.uint32(1)) | np.uint32(mask[y, x])] += 1
            mass[at] += max(level - zero, 0.0)
    return counts.reshape((bins, 2)).astype(np.int64), mass


@kernel
def packed(levels, mask):
    """(n,) int64: a pixel's level, a whole number, and in the last bit whether it is inside the mask."""
    pixels, k = np.empty(levels.size, np.int64), 0
    for y in range(levels.shape[0]):
        for x in range(levels.shape[1]):
            pixels[k] = (np.int64(levels[y, x]) << 1) | mask[y, x]
            k += 1
    return pixels


@kernel
def grouped(pixels):
    """(the different levels (n,), rising, the pixels of each outside and inside (n,2)) of sorted `packed` pixels."""
    steps, counts, last = np.empty(len(pixels)), np.zeros((len(pixels), 2), np.int64), -1
    for pixel in pixels:
        if last < 0 or steps[last] != pixel >> 1:
            last += 1
            steps[last] = pixel >> 1
        counts[last, pixel & 1] += 1
    return steps[: last + 1], counts[: last + 1]


@kernel
def against_mask(counts, places):
    """(average precision, its bound, best IoU, its bound, area under IoU) of pixels that bins order.

    places (bins,): from 0 to 1, where each bin lies between the map's lowest and highest value. Bounds: how far the
    same numbers of the map itself can be away, whose pixels have an order within a bin.
    """
    bins = len(counts)
    whole = 0
    for at in range(bins):
        whole += counts[at, 1]
    inside = outside = 0
    precision = unsure = best = highest = area = 0.0
    for at in range(bins - 1, -1, -1):
        more, other = counts[at, 1], counts[at, 0]
        if more + other > 0:
            before = inside + outside
            reached = (inside + more) / (before + more + other)
            above = (inside + more) / (before + more) - reached if more else 0.0
            below = reached - (inside + 1) / (before + other + 1)
            precision += more * reached
            unsure += more * max(above, below)
            highest = max(highest, (inside + more) / (whole + outside))
            inside, outside = inside + more, outside + other
        overlap = inside / (whole + outside)
        best = max(best, overlap)
        if at > 0:
            area += overlap * (places[at] - places[at - 1])
    return precision / whole, unsure / whole, best, highest - best, area


@kernel
def concentration(counts, mass):
    """(Gini index, entropy as a share of a uniform map's) of the pixels' mass, a bin's pixels taken as equal."""
    pixels, total, weighted, logs = 0, 0.0, 0.0, 0.0
    for at in range(len(mass)):
        total += mass[at]
    for at in range(len(mass)):
        number = counts[at, 0] + counts[at, 1]
        if mass[at] > 0:
            share = mass[at] / total
            weighted += share * (2 * pixels + number)
            logs -= share * math.log(share / number)
        pixels += number
    return weighted / pixels - 1, logs / math.log(pixels) if pixels > 1 else 1.0
