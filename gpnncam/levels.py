"""What GPNN prepares once per picture: its settings, its pyramid, and the noisy start of each variation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpnncam.pyramid import PATCH, pyramid, resample

VERSION = 3
"""Of the generator; goes up whenever its results change, so that no older cache entry or run is taken for a new one."""

ROW = 65536
"""A place (row, column) is packed as row * 65536 + column."""
EXACT_PATCHES = 700
"""Levels of at most this many patches (32 x 32 pixels) are searched exactly: PatchMatch there costs diversity."""
MIDDLE_SIDE = 41
"""Levels whose shorter side is at most this many pixels get the middle number of iterations."""
FEW_CHANGES = 0.01
"""Iterations at a level end when a smaller share of the patches than this changed their source."""
ALIKE = 0.8
"""A variation of which more than this share of patches is where it was in the picture, at the last of the levels up to
MIDDLE_SIDE pixels, is a copy: it starts again from other noise, `TRIES` times in all. Finer levels only follow."""
TRIES = 4
ALPHA_UNITS = ("mean_square", "euclidean")


@dataclass(frozen=True)
class Settings:
    """What a variation depends on besides the picture and its seed; see `gpnncam.variations`."""

    sigma: float = 3.0
    noise: str = "rgb"
    alpha: float | None = None
    iterations: Sequence[int] = (1, 10, 3)
    search: str = "fast"
    alpha_unit: str = "mean_square"
    alpha_side: int | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.sigma) and 0 <= self.sigma <= 100):
            raise ValueError(f"sigma must be a number from 0 to 100, not {self.sigma!r}.")
        if self.noise not in ("rgb", "grey"):
            raise ValueError(f'noise must be "rgb" or "grey", not {self.noise!r}.')
        if self.search not in ("fast", "exact"):
            raise ValueError(f'search must be "fast" or "exact", not {self.search!r}.')
        if self.alpha is not None and not (math.isfinite(self.alpha) and self.alpha > 0):
            raise ValueError(f"alpha must be None (plain distance) or a positive number, not {self.alpha!r}.")
        if self.alpha_unit not in ALPHA_UNITS:
            raise ValueError(f"alpha_unit must be one of {', '.join(ALPHA_UNITS)}, not {self.alpha_unit!r}.")
        if self.alpha_side is not None and not self.alpha_side >= 1:
            raise ValueError(f"alpha_side must be None (all levels) or at least 1 pixel, not {self.alpha_side!r}.")
        iterations = tuple(self.iterations)
        if len(iterations) != 3 or any(int(t) != t or t < 1 for t in iterations):
            raise ValueError(
                "iterations must be three whole numbers of at least 1 (coarsest level, levels up to "
                f"{MIDDLE_SIDE} pixels, finer levels), not {self.iterations!r}."
            )
        object.__setattr__(self, "iterations", tuple(int(t) for t in iterations))


@dataclass(frozen=True)
class Level:
    """One level of the picture.

    image: (h, w, 3) float32 whole values in 0..255, the values of its patches and the keys of all iterations but one.
    blurred: the coarser level enlarged to this one's size, the keys of the first iteration; None at the coarsest.
    complete: whether patches are compared by the completeness score here.
    """

    image: np.ndarray
    blurred: np.ndarray | None
    exact: bool
    iterations: int
    complete: bool

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        return self.image.shape[0] - PATCH + 1, self.image.shape[1] - PATCH + 1


def prepare(pixels: np.ndarray, settings: Settings) -> list[Level]:
    """Levels of the picture (H, W, 3) of whole values in 0..255, coarsest first."""
    levels = []
    for image in pyramid(pixels):
        h, w, _ = image.shape
        few = (h - PATCH + 1) * (w - PATCH + 1) <= EXACT_PATCHES
        first, middle, last = settings.iterations
        iterations = middle if min(h, w) <= MIDDLE_SIDE else last
        blurred = resample(levels[-1].image, h, w) if levels else None
        exact, complete = few or settings.search == "exact", settings.alpha is not None
        complete &= settings.alpha_side is None or min(h, w) <= settings.alpha_side
        levels.append(Level(image, blurred, exact, iterations if levels else first, complete))
    return levels


def expand_seed(seed: int, n: int) -> list[int]:
    """n seeds from one; the first m of n are the m of m."""
    return [int(s) >> 1 for s in np.random.SeedSequence(seed).generate_state(n, np.uint64)]


def coarse(levels: Sequence[Level]) -> int:
    """How many levels decide what a variation shows: those up to MIDDLE_SIDE pixels, at least the first."""
    return max(1, sum(min(level.image.shape[:2]) <= MIDDLE_SIDE for level in levels))


def likeness(field: np.ndarray) -> float:
    """Share of patches whose source, in a field (rows, columns) of packed places, is their own place or beside it."""
    rows, columns = np.indices(field.shape)
    return float(((abs((field >> 16) - rows) <= 1) & (abs((field & 65535) - columns) <= 1)).mean())


def attempts(settings: Settings) -> range:
    """How often a variation may start; without noise every start is the same."""
    return range(TRIES if settings.sigma else 1)


def is_copy(field: np.ndarray) -> bool:
    """Whether the field (rows, columns) of the last of the `coarse` levels makes the picture itself."""
    return likeness(field) > ALIKE


def noisy_start(level: Level, seed: int, settings: Settings, attempt: int = 0) -> np.ndarray:
    """The first query: the coarsest level (h, w, 3) plus Gaussian noise, in whole steps of 1/255, float64."""
    h, w, _ = level.image.shape
    bits = np.random.Philox([seed, attempt] if attempt else seed)
    noise = np.random.Generator(bits).standard_normal((h, w, 3 if settings.noise == "rgb" else 1))
    return np.rint(level.image + 255 * settings.sigma * noise)


def unfold(image: np.ndarray) -> np.ndarray:
    """(h, w, 3) -> (patches, 147), patches in row-major order."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (PATCH, PATCH), axis=(0, 1))
    return windows.reshape(windows.shape[0] * windows.shape[1], -1)


def completeness(nearest: Any, settings: Settings) -> Any:
    """What a key's squared distances are divided by; nearest: the least of them, a sum over a patch of values 0..255.

    For Euclidean distances d the score d / (alpha + min d) is squared, which changes no comparison.
    """
    if settings.alpha_unit == "euclidean":
        return (255 * settings.alpha + nearest**0.5) ** 2
    return settings.alpha * 3 * PATCH**2 * 255**2 + nearest


def first_field(query: np.ndarray, level: Level, settings: Settings) -> np.ndarray:
    """Field (rows, columns) of packed places of the noisy query, whose values may lie far outside 0..255.

    Every product and sum is a whole number below 2^53, so no order of summation can change the outcome.
    """
    q, k = unfold(query), unfold(level.image.astype(np.float64))
    # Not `q @ k.T`: the threads of BLAS would go on spinning on the cores that the search needs.
    scores = (q * q).sum(1)[:, None] + (k * k).sum(1)[None, :] - 2 * np.einsum("ij,kj->ik", q, k)
    if level.complete:
        scores /= completeness(scores.min(0), settings)
    rows, columns = np.divmod(scores.argmin(1), level.grid[1])
    return (rows * ROW + columns).astype(np.int32).reshape(level.grid)
