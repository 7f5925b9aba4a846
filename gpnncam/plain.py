"""The plain path of `gpnncam.patches`: the same sums as loops, where its vector code does not build (GPNNCAM_PLAIN=1).

Distances are about six times as slow; results are equal to the last bit.
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
