"""The plain path of `gpnncam.patches`: the same sums as loops, where its vector code does not build (GPNNCAM_PLAIN=1).

Slower, and variations are equal to the last bit: bounds, the only sums of fractions, decide what is looked at first
and never what is found.
"""

from collections.abc import Callable

import numpy as np
from numba import njit

from gpnncam.pyramid import PATCH

WIDTH = 3 * PATCH


def distance_of_rows(first: int, last: int) -> Callable:
    """Sum of squared differences over rows first..last-1 of two patches, int32; arguments as in `gpnncam.patches`."""

    @njit(nogil=True, boundscheck=False)
    def distance(a: np.ndarray, at_a: int, b: np.ndarray, at_b: int) -> int:
        flat_a, flat_b = a.reshape(-1), b.reshape(-1)
        total = 0
        for row in range(first, last):
            for i in range(WIDTH):
                other = np.int64(flat_b[at_b + row * b.shape[1] + i])
                difference = np.int64(flat_a[at_a + row * a.shape[1] + i]) - other
                total += difference * difference
        return np.int32(total)

    return distance


@njit(nogil=True, boundscheck=False)
def add_patch(total: np.ndarray, at_total: int, values: np.ndarray, at_values: int) -> None:
    """Add the patch of `values` at `at_values` to the picture-shaped sum `total` at `at_total`."""
    flat_total, flat_values = total.reshape(-1), values.reshape(-1)
    for row in range(PATCH):
        for i in range(WIDTH):
            flat_total[at_total + row * total.shape[1] + i] += flat_values[at_values + row * values.shape[1] + i]


@njit(nogil=True, boundscheck=False)
def take_patch(total: np.ndarray, at_total: int, values: np.ndarray, at_values: int) -> None:
    """Take the patch of `values` at `at_values` from the picture-shaped sum `total` at `at_total`."""
    flat_total, flat_values = total.reshape(-1), values.reshape(-1)
    for row in range(PATCH):
        for i in range(WIDTH):
            flat_total[at_total + row * total.shape[1] + i] -= flat_values[at_values + row * values.shape[1] + i]


@njit(nogil=True, boundscheck=False)
def below(terms: np.ndarray, at: int, keys: np.ndarray, block: int, limit: float) -> int:
    """Bit i says whether key i of the block has a lower bound below `limit`; arguments as in `gpnncam.patches`."""
    sums, bits = keys.shape[1] - 2, np.int64(0)
    for i in range(keys.shape[2]):
        total = keys[block, sums, i] + terms[at, sums]
        for k in range(sums):
            total += terms[at, k] * keys[block, k, i]
        if total * keys[block, sums + 1, i] < limit:
            bits |= np.int64(1) << i
    return bits


@njit(nogil=True, boundscheck=False)
def lowest_bit(bits: int) -> int:
    """The place of the lowest bit that is set; `bits` is not 0."""
    place = 0
    while not (bits >> place) & 1:
        place += 1
    return place
