"""From a method's answer to the point: resizing, the highest point, ties and degenerate maps, here and nowhere else.

Coordinates are original pixels, x right, y down, origin at the top left corner; pixel i covers [i, i+1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eval.game.smoothing import NONE, Smoothing

# Levels between a map's lowest and highest value. Two places of one mathematical height, left and right of a peak,
# differ by a few units in the last of the 53 bits: 46 bits take them as equal and keep every difference that a map in
# single precision can hold.
LEVELS = 2.0**46


@dataclass(frozen=True, eq=False)
class Heat:
    """A heat map on the original picture's grid.

    values: (height,width) float64, the method's own scale. levels: (height,width) float64 whole numbers 0..LEVELS,
    the same between the lowest and the highest value of the map before it was resized: what is compared.
    """

    values: np.ndarray
    levels: np.ndarray

    @property
    def constant(self) -> bool:
        """Whether the map has one value everywhere, and so no highest point."""
        return bool(self.levels.max() == self.levels.min())

    @property
    def peak(self) -> tuple[float, float]:
        """(x, y) of the highest pixel, the first in row-major order of several."""
        row, column = divmod(int(self.levels.argmax()), self.levels.shape[1])
        return float(column), float(row)

    @property
    def ties(self) -> int:
        """How many pixels are as high as the highest."""
        return int((self.levels == self.levels.max()).sum())


def upscale(grid: np.ndarray, size: tuple[int, int], smoothing: Smoothing = NONE) -> Heat:
    """A finite map (h,w) of any grid that covers the whole picture, resized to it; size is (width, height).

    Bilinear, align_corners=False. Beyond the outermost cells' centres the map is flat. The interpolation is written as
    a + w (b - a), so that a plateau stays exactly one: its first pixel is the point, not one that rounding lifts.
    smoothing: on the picture's grid, after the resize, as TorchRay does.
    """
    grid = np.asarray(grid, np.float64)
    low, span, shares = _shares(grid)
    shares = _stretched(_stretched(shares, size[1]).T, size[0]).T
    values = 2 * (low + span * shares)
    if smoothing.share:
        values = smoothing(values)
        *_, shares = _shares(values)
    return Heat(values, np.rint(shares * LEVELS))


def _shares(grid: np.ndarray) -> tuple[float, float, np.ndarray]:
    """(low, span, shares): half the lowest value, half the span, and every value's share of the span, 0 to 1."""
    # Halved, as the span of a map from -1e308 to 1e308 has no double.
    low, span = grid.min() / 2, grid.max() / 2 - grid.min() / 2
    return low, span, (grid / 2 - low) / span if span > 0 else np.zeros_like(grid)


def _stretched(lines: np.ndarray, length: int) -> np.ndarray:
    """(h,w) resized to (length,w) along its first axis."""
    count = len(lines)
    if count == length:
        return lines
    place = np.maximum((np.arange(length) + 0.5) * (count / length) - 0.5, 0)  # below count - 1/2
    first = place.astype(int)
    second = np.minimum(first + 1, count - 1)
    return lines[first] + (place - first)[:, None] * (lines[second] - lines[first])


def points_or_maps(answer: Any, count: int) -> np.ndarray:
    """A method's answer about `count` classes as float64: maps (K,h,w) or points (K,2).

    Takes tensors of any device and number type, numpy arrays, and lists of either. ValueError says what is wrong with
    an answer that is neither, is not of real numbers, or holds values that are not finite.
    """
    array = _array(answer)
    if array.dtype.kind not in "fiub":
        raise ValueError(
            f"the method returned a {type(answer).__name__} of {array.dtype} values; it must return maps (K,h,w), "
            "and maps are real numbers"
        )
    if array.ndim not in (2, 3) or len(array) != count or (array.ndim == 2 and array.shape[1] != 2):
        raise ValueError(
            f"expected maps (K,h,w) or points (K,2) for K={count} classes, got {array.shape}{_remedy(array, count)}"
        )
    if 0 in array.shape:
        raise ValueError(f"the heat map is empty: {array.shape}")
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"the {'heat map' if array.ndim == 3 else 'point'} has values that are not finite")
    return array


def _remedy(array: np.ndarray, count: int) -> str:
    """What to write instead, where the shape shows what was meant."""
    if array.ndim == 2 and count == 1 and len(array) > 1:
        return "; the map of a single class is returned as map[None]"
    if array.ndim == 4 and array.shape[:2] == (count, 1):
        return "; maps[:, 0] leaves the channel out"
    if array.ndim == 4 and array.shape[:2] == (1, count):
        return "; maps[0] leaves the batch out"
    return ""


def _array(answer: Any) -> np.ndarray:
    if answer is None:
        raise ValueError("the method returned None; it must return maps (K,h,w), larger = more important")
    if isinstance(answer, list | tuple):
        parts = [_array(each) for each in answer]
        if len({part.shape for part in parts}) > 1:
            shapes = " and ".join(dict.fromkeys(str(part.shape) for part in parts))
            raise ValueError(
                f"the method returned a {type(answer).__name__} with parts of shapes {shapes}; maps have one shape"
            )
        return np.stack(parts) if parts else np.empty(0)
    if hasattr(answer, "detach"):  # a tensor; this room knows no torch
        answer = answer.detach().cpu()
        if answer.is_floating_point():  # numpy has no bfloat16
            answer = answer.double()
        answer = answer.resolve_conj().resolve_neg().numpy() if answer.is_complex() else answer.numpy()
    try:
        return np.asarray(answer)
    except (TypeError, ValueError) as error:
        raise ValueError(f"the method returned {type(answer).__name__}, no map: {error}") from None
