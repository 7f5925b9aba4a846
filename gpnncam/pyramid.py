"""The pyramid of a picture, and the resampling between its levels, as small matrices that every search backend shares.

Pictures here are 8-bit values held in wider numbers: every level is rounded to 0..255, so distances between patches
are integers and every backend computes the very same ones.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch

PATCH = 7
"""Side of a patch in pixels (GPNN, section 4: 7 x 7, stride 1)."""
COARSEST = 14
"""Shorter side of the coarsest level in pixels."""
RATIO = 4 / 3


def level_sizes(height: int, width: int, coarsest: int = COARSEST, ratio: float = RATIO) -> list[tuple[int, int]]:
    """(height, width) of each level, coarsest first, the picture itself last.

    The shorter side of the coarsest level is exactly `coarsest`; the ratio is the one nearest to `ratio` that divides
    the way there evenly (GPNN keeps 4/3 and squeezes one odd step in at the bottom instead). A picture whose shorter
    side is about `coarsest` or below is its own only level.
    """
    shorter = min(height, width)
    steps = max(0, round(math.log(shorter / coarsest) / math.log(ratio)))
    sizes = []
    for step in range(steps + 1):
        factor = (coarsest / shorter) ** (1 - step / steps) if steps else 1.0
        sizes.append((max(PATCH, round(height * factor)), max(PATCH, round(width * factor))))
    return sizes


def _cubic(x: np.ndarray) -> np.ndarray:
    """Keys' cubic convolution kernel, a = -1/2."""
    x = np.abs(x)
    inner = (1.5 * x - 2.5) * x * x + 1
    outer = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, inner, np.where(x < 2, outer, 0.0))


@lru_cache(maxsize=256)
def resampler(n_in: int, n_out: int) -> np.ndarray:
    """(target, source) float32 matrix of bicubic resampling along one axis, antialiased when it shrinks.

    Pixel centres lie at half integers; taps outside the picture are dropped and the rest renormalised.
    """
    scale = n_in / n_out
    centres = (np.arange(n_out) + 0.5) * scale - 0.5
    weights = _cubic((np.arange(n_in)[None, :] - centres[:, None]) / max(scale, 1.0))
    matrix = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


@lru_cache(maxsize=256)
def taps(n_in: int, n_out: int) -> tuple[np.ndarray, np.ndarray]:
    """The four taps of each row of an enlarging `resampler`: first index (target,) int64, weights (target, 4)."""
    matrix = resampler(n_in, n_out)
    first = np.floor((np.arange(n_out) + 0.5) * (n_in / n_out) - 0.5).astype(np.int64) - 1
    first = np.clip(first, 0, max(n_in - 4, 0))
    columns = first[:, None] + np.arange(4)
    inside = columns < n_in
    weights = np.where(inside, np.take_along_axis(matrix, np.where(inside, columns, 0), axis=1), np.float32(0))
    return first, np.ascontiguousarray(weights)


def resample(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, 3) to (height, width, 3), rounded to whole values in 0..255, float32.

    In double precision, so that the order of a sum does not decide a rounding. The products are torch's, because the
    threads of numpy's BLAS go on spinning for a while after each, on the cores that the search needs.
    """
    h, w, channels = image.shape
    result = _along(resampler(h, height), torch.from_numpy(np.ascontiguousarray(image, np.float64)).view(h, -1))
    result = result.view(height, w, channels).transpose(0, 1).reshape(w, height * channels)
    result = _along(resampler(w, width), result)
    result = result.view(width, height, channels).transpose(0, 1).round().clamp(0, 255)
    return result.contiguous().numpy().astype(np.float32)


def _along(matrix: np.ndarray, values: torch.Tensor, rows: int = 32) -> torch.Tensor:
    """matrix (target, source) @ values (source, n), some rows at a time and without the columns that are zero there."""
    weights = torch.from_numpy(matrix.astype(np.float64))
    result = values.new_empty(len(weights), values.shape[1])
    for start in range(0, len(weights), rows):
        used = np.flatnonzero(matrix[start : start + rows].any(0))
        part = slice(used[0], used[-1] + 1)
        torch.mm(weights[start : start + rows, part], values[part], out=result[start : start + rows])
    return result


def pyramid(image: np.ndarray) -> list[np.ndarray]:
    """Levels (h, w, 3) float32 of whole values in 0..255, coarsest first; each made from `image` (H, W, 3) itself."""
    height, width, _ = image.shape
    sizes = level_sizes(height, width)
    return [resample(image, h, w) for h, w in sizes[:-1]] + [image.astype(np.float32)]
