"""Compiled steps of `eval.measures.multigrid`, for equations of pixels that are tied to their 8 neighbours.

at (n,) int64: the unknowns' cells, row by row, in a grid with a border of one cell around it. rows (n,9): their rows of
the matrix: the weights of the cells around, in the middle that of itself; 0 for a cell that is no unknown. Values are
(cells,3), a column a channel, and stay 0 where a cell is no unknown.
"""

import numpy as np
from numba import njit


def kernel(function):
    """Compile without the GIL and keep the machine code on disk, or in memory where no folder can be written."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
    try:
        return njit(function, cache=True, **options)
    except RuntimeError:
        return njit(function, **options)


@kernel
def neighbour_means(pixels, removed, direct, diagonal):
    """The equations of removed (h,w) pixels (h,w,3), each the weighted mean of its neighbours within the picture:
    (at, rows, right sides (n,3))."""
    height, width = removed.shape
    count, k = removed.sum(), 0
    at, rows, right = np.empty(count, np.int64), np.zeros((count, 9)), np.zeros((count, 3))
    for y in range(height):
        for x in range(width):
            if not removed[y, x]:
                continue
            at[k] = (y + 1) * (width + 2) + x + 1
            for j in range(9):
                row, column = y + j // 3 - 1, x + j % 3 - 1
                if j == 4 or not (0 <= row < height and 0 <= column < width):
                    continue
                weight = diagonal if j % 2 == 0 else direct
                rows[k, 4] += weight
                if removed[row, column]:
                    rows[k, j] = -weight
                else:
                    for c in range(3):
                        right[k, c] += weight * pixels[row, column, c]
            k += 1
    return at, rows, right


@kernel
def parents(place, size):
    """The first coarse cell that a cell interpolates, its weight, and the weight of the next coarse cell."""
    if place % 2 == 0 or place == size - 1:
        return place // 2, 1.0, 0.0
    return place // 2, 0.5, 0.5


@kernel
def coarser(at, rows, height, width):
    """The equations of the next coarser grid: (at, rows)."""
    stride, coarse = width + 2, (width + 1) // 2 + 2
    whole = np.zeros((((height + 1) // 2 + 2) * coarse, 9))
    part = np.empty((3, 3))
    for k in range(len(at)):
        y, x = at[k] // stride - 1, at[k] % stride - 1
        top, left = y // 2 - 1, x // 2 - 1
        part[:] = 0
        for j in range(9):
            value = rows[k, j]
            if value == 0:
                continue
            row, up, down = parents(y + j // 3 - 1, height)
            column, before, after = parents(x + j % 3 - 1, width)
            row, column = row - top, column - left
            part[row, column] += value * up * before
            if after:
                part[row, column + 1] += value * up * after
            if down:
                part[row + 1, column] += value * down * before
                if after:
                    part[row + 1, column + 1] += value * down * after
        _, up, down = parents(y, height)
        _, before, after = parents(x, width)
        for a in range(2):
            for b in range(2):
                weight = (down if a else up) * (after if b else before)
                if weight:
                    cell = (top + 2 + a) * coarse + left + 2 + b
                    for i in range(a, 3):
                        for j in range(b, 3):
                            whole[cell, 3 * (i - a) + j - b] += weight * part[i, j]
    places = np.flatnonzero(whole[:, 4] > 0)
    return places, whole[places]


@kernel
def sweep_first(at, rows, stride, right, x):
    """Gauss-Seidel from x = 0, forwards: what comes later is 0 still, so nobody reads it or has to clear it."""
    for k in range(len(at)):
        p = at[k]
        a, b, c = right[p, 0], right[p, 1], right[p, 2]
        for j in range(4):
            q, value = p + (j // 3 - 1) * stride + j % 3 - 1, rows[k, j]
            a -= value * x[q, 0]
            b -= value * x[q, 1]
            c -= value * x[q, 2]
        own = 1 / rows[k, 4]
        x[p, 0], x[p, 1], x[p, 2] = own * a, own * b, own * c


@kernel
def sweep(at, rows, stride, right, x, backward):
    """Gauss-Seidel in place."""
    for i in range(len(at)):
        k = len(at) - 1 - i if backward else i
        p = at[k]
        a, b, c = right[p, 0], right[p, 1], right[p, 2]
        for turned in range(6, 15):  # the cell that changed last, going backwards, is waited for last
            j = turned % 9
            if j != 4:
                q, value = p + (j // 3 - 1) * stride + j % 3 - 1, rows[k, j]
                a -= value * x[q, 0]
                b -= value * x[q, 1]
                c -= value * x[q, 2]
        own = 1 / rows[k, 4]
        x[p, 0], x[p, 1], x[p, 2] = own * a, own * b, own * c


@kernel
def restrict(at, rows, height, width, x, coarse_right):
    """What `sweep_first` left of the equations, summed into the cells of the next coarser grid: what came later."""
    stride, coarse = width + 2, (width + 1) // 2 + 2
    coarse_right[:] = 0
    y, start = -1, 0
    for k in range(len(at)):
        p = at[k]
        while p >= start + stride:  # a division would cost as much as the rest
            y, start = y + 1, start + stride
        a = b = c = 0.0
        for j in range(5, 9):
            q, value = p + (j // 3 - 1) * stride + j % 3 - 1, rows[k, j]
            a -= value * x[q, 0]
            b -= value * x[q, 1]
            c -= value * x[q, 2]
        row, up, down = parents(y, height)
        column, before, after = parents(p - start - 1, width)
        cell = (row + 1) * coarse + column + 1
        for i in range(2 if down else 1):
            for j in range(2 if after else 1):
                weight = (down if i else up) * (after if j else before)
                coarse_right[cell + i * coarse + j, 0] += weight * a
                coarse_right[cell + i * coarse + j, 1] += weight * b
                coarse_right[cell + i * coarse + j, 2] += weight * c


@kernel
def interpolate(at, height, width, coarse_x, x):
    """Add the coarser grid's x to x."""
    stride, coarse = width + 2, (width + 1) // 2 + 2
    y, start = -1, 0
    for p in at:
        while p >= start + stride:
            y, start = y + 1, start + stride
        row, up, down = parents(y, height)
        column, before, after = parents(p - start - 1, width)
        cell = (row + 1) * coarse + column + 1
        for i in range(2 if down else 1):
            for j in range(2 if after else 1):
                weight = (down if i else up) * (after if j else before)
                x[p, 0] += weight * coarse_x[cell + i * coarse + j, 0]
                x[p, 1] += weight * coarse_x[cell + i * coarse + j, 1]
                x[p, 2] += weight * coarse_x[cell + i * coarse + j, 2]


@kernel
def apply(at, rows, stride, x, product):
    """The matrix times x into `product`; returns x times that for each channel, (3,)."""
    first = second = third = 0.0
    for k in range(len(at)):
        p = at[k]
        a = b = c = 0.0
        for j in range(9):
            q, value = p + (j // 3 - 1) * stride + j % 3 - 1, rows[k, j]
            a += value * x[q, 0]
            b += value * x[q, 1]
            c += value * x[q, 2]
        product[p, 0], product[p, 1], product[p, 2] = a, b, c
        first += a * x[p, 0]
        second += b * x[p, 1]
        third += c * x[p, 2]
    return np.array((first, second, third))


@kernel
def agreement(at, residual, cycle):
    """(their product for each channel (3,), the highest absolute value of `cycle`)."""
    first = second = third = furthest = 0.0
    for p in at:
        a, b, c = cycle[p, 0], cycle[p, 1], cycle[p, 2]
        first += residual[p, 0] * a
        second += residual[p, 1] * b
        third += residual[p, 2] * c
        furthest = max(furthest, abs(a), abs(b), abs(c))
    return np.array((first, second, third)), furthest


@kernel
def turn(at, cycle, scale, direction):
    """The next direction: the cycle's, and `scale` (3,) of the one before."""
    for p in at:
        for c in range(3):
            direction[p, c] = cycle[p, c] + scale[c] * direction[p, c]


@kernel
def advance(at, length, direction, product, x, residual):
    """Go `length` (3,) of the direction; x is (n,3)."""
    for k in range(len(at)):
        p = at[k]
        for c in range(3):
            x[k, c] += length[c] * direction[p, c]
            residual[p, c] -= length[c] * product[p, c]
