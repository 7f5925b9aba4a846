"""Conjugate gradients with a multigrid preconditioner, where the unknowns are pixels tied to their 8 neighbours.

Coarser levels are the same equations for bilinear interpolations (Galerkin), so that a region of any shape keeps its
shape. The steps are those of `eval.measures.stencils`, which says how a level is laid out.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from eval.measures import stencils

CELLS = 16
"""Cells of the coarsest grid at most; there, and only there, many sweeps stand for a solution."""
SWEEPS = 8


class _Level(NamedTuple):
    """Equations of a grid (height, width), and room for their right sides and solutions, (cells,3) each."""

    at: np.ndarray
    rows: np.ndarray
    height: int
    width: int
    right: np.ndarray
    x: np.ndarray


def solve(
    at: np.ndarray, rows: np.ndarray, right: np.ndarray, size: tuple[int, int], tolerance: float, most: int = 500
) -> np.ndarray:
    """(n,3): the solutions for three right sides (n,3) of a positive definite system on a grid of `size` (h,w).

    It ends when a multigrid cycle, which takes the residual for an error and is right about nine tenths of it, would
    correct no value by more than `tolerance`. ArithmeticError if `most` steps do not get there.
    """
    levels = [_level(at, rows, *size)]
    while levels[-1].height * levels[-1].width > CELLS:
        coarser = stencils.coarser(*levels[-1][:4])
        levels.append(_level(coarser[0], coarser[1], (levels[-1].height + 1) // 2, (levels[-1].width + 1) // 2))
    residual, cycle = levels[0].right, levels[0].x
    residual[at] = right
    x, direction, product = np.zeros_like(right), np.zeros_like(residual), np.zeros_like(residual)
    now = np.zeros(3)
    for _ in range(most):
        _cycle(levels)
        before, (now, furthest) = now, stencils.agreement(at, residual, cycle)
        stencils.turn(at, cycle, _ratio(now, before), direction)
        against = stencils.apply(at, rows, size[1] + 2, direction, product)
        stencils.advance(at, _ratio(now, against), direction, product, x, residual)
        if furthest <= tolerance:
            return x
    raise ArithmeticError(f"{most} steps of conjugate gradients do not solve a system of {len(at)} unknowns")


def _level(at: np.ndarray, rows: np.ndarray, height: int, width: int) -> _Level:
    cells = (height + 2) * (width + 2)
    return _Level(at, rows, height, width, np.zeros((cells, 3)), np.zeros((cells, 3)))


def _ratio(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """0 for a channel that is solved exactly, which has nothing left to divide by."""
    return np.divide(one, other, out=np.zeros(3), where=other > 0)


def _cycle(levels: list[_Level]) -> None:
    """One V-cycle from x = 0, symmetric: each level is swept forwards on the way down, backwards on the way up."""
    for (at, rows, height, width, right, x), below in pairwise(levels):
        stencils.sweep_first(at, rows, width + 2, right, x)
        stencils.restrict(at, rows, height, width, x, below.right)
    at, rows, _, width, right, x = levels[-1]
    stencils.sweep_first(at, rows, width + 2, right, x)
    for number in range(2 * SWEEPS - 1):
        stencils.sweep(at, rows, width + 2, right, x, number % 2 == 0)
    for below, (at, rows, height, width, right, x) in pairwise(reversed(levels)):
        stencils.interpolate(at, height, width, below.x, x)
        stencils.sweep(at, rows, width + 2, right, x, True)
