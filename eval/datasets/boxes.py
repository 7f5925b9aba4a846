"""Numbers, flags and boxes as annotation files write them, checked before they become pixels.

A value that can be understood is read, whatever type the file gave it (40, 40.0, "40", " 4e1 "); any other is refused
by name. `what` is always the file and object that a ValueError names.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

from eval.datasets.pictures import MAX_PIXELS
from eval.files.parsed import shown

# Annotation tools differ by a pixel at the border (0- or 1-based, width or width - 1); more than that is an error.
SLACK = 1.0
# How far, in pixels, two accounts of one box may lie apart by rounding: outlines have fractions, masks whole pixels.
ROUNDING = 1.5
# No object lies within the first pixel of a picture; rounding may move a share a little beyond 0 or 1.
SHARE = 1.05

Box = tuple[float, float, float, float]
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def number(value: Any, what: str) -> float:
    """A finite number below 2^31, given as number or as text in decimal digits. ValueError: 1_0, nan, true, null."""
    # Plain digits first: data sets have millions of them.
    plain = type(value) in (int, float) or (isinstance(value, str) and value.isascii() and value.isdecimal())
    if not plain and not (isinstance(value, str) and _DECIMAL.fullmatch(value.strip())):
        raise ValueError(f"{what} is {shown(value)}, no number")
    try:
        parsed = float(value)
    except OverflowError:
        parsed = math.inf
    if not abs(parsed) < 2**31:
        raise ValueError(f"{what} is {shown(value)}, not a coordinate")
    return parsed


def whole(value: Any, what: str) -> int:
    """A coordinate or size as an integer; ValueError as in `number`."""
    return round(number(value, what))


def flag(value: Any, what: str) -> bool:
    """A mark that an object has or has not: 0, 1, false or true as number, truth value or text; None: not marked."""
    if value is None or isinstance(value, bool):
        return bool(value)
    word = value.strip().lower() if isinstance(value, str) else None
    if word in ("false", "true"):
        return word == "true"
    try:
        return {0.0: False, 1.0: True}[number(value, what)]
    except (ValueError, KeyError):
        raise ValueError(f"{what} is {shown(value)}, neither 0 nor 1 (or false and true)") from None


def in_pixels(values: Sequence[float], size: tuple[int, int], what: str) -> None:
    """ValueError where all coordinates of an object are shares of the picture, 0 to 1, instead of pixels."""
    if max(size) > 2 and all(1 - SHARE <= value <= SHARE for value in values):
        raise ValueError(
            f"{what}: all coordinates, {shown(list(values))}, lie between 0 and 1; coordinates are pixels here, so "
            f"multiply shares by the width and height of the {size[0]} x {size[1]} picture"
        )


def clipped(
    x0: int, y0: int, x1: int, y1: int, size: tuple[int, int], what: str, hint: str = ""
) -> tuple[int, int, int, int]:
    """The box (0-based, end exclusive) cut to the picture where it leaves it by at most a pixel.

    ValueError naming `what`: empty, inverted or farther outside; `hint` is what the latter can mean.
    """
    width, height = size
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"{what}: the box x {x0}..{x1}, y {y0}..{y1} is empty or inverted")
    if min(x0, y0) < -SLACK or x1 > width + SLACK or y1 > height + SLACK:
        raise ValueError(f"{what}: the box x {x0}..{x1}, y {y0}..{y1} leaves the {width} x {height} picture{hint}")
    box = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError(f"{what}: the box x {x0}..{x1}, y {y0}..{y1} lies outside the {width} x {height} picture")
    return box


def picture_size(width: Any, height: Any, what: str) -> tuple[int, int]:
    """(width, height) of a picture, both positive and not larger than pictures are read; ValueError naming `what`."""
    size = whole(width, f"{what}: the width"), whole(height, f"{what}: the height")
    if min(size) < 1:
        raise ValueError(f"{what}: a picture of {size[0]} x {size[1]} pixels does not exist")
    if size[0] * size[1] > MAX_PIXELS:
        raise ValueError(f"{what}: {size[0]} x {size[1]} are more than {MAX_PIXELS:,} pixels and are refused")
    return size


def as_corners(box: Box, extent: Box | None, area: float | None, size: tuple[int, int]) -> str | None:
    """What in the file says that COCO's `bbox` was written as corners, or None where it fits as x, y, width, height.

    box: the four numbers as written. extent: x0 y0 x1 y1 of the object's outline or mask. area: the area of its box,
    which counts without an extent.
    """
    x, y, w, h = box
    if extent is not None:
        extent = _within(extent, size)
        if _near(extent, _within((x, y, x + w, y + h), size)) or not _near(extent, _within(box, size)):
            return None
        return f"its outline or mask, {_spans(extent)}, has it as corners x0, y0, x1, y1"
    if area is None or area_of(w, h, area) or not area_of(w - x, h - y, area):
        return None
    return f"its area, {area:g}, has it as corners x0, y0, x1, y1"


def holds(box: Box, extent: Box, size: tuple[int, int], what: str) -> None:
    """ValueError where an outline or mask, x0 y0 x1 y1, leaves the box of its object, x0 y0 x1 y1.

    A box may be larger than what is visible, never smaller; by how much tools may round is a tenth of its side.
    """
    box, extent = _within(box, size), _within(extent, size)
    free = [max(2 * ROUNDING, side / 10) for side in (box[2] - box[0], box[3] - box[1])]
    out = [max(box[i] - extent[i], extent[i + 2] - box[i + 2]) for i in (0, 1)]
    if out[0] > free[0] or out[1] > free[1]:
        raise ValueError(f"{what}: its outline or mask, {_spans(extent)}, leaves its box, {_spans(box)}")


def _spans(box: Box) -> str:
    return f"x {box[0]:g}..{box[2]:g}, y {box[1]:g}..{box[3]:g}"


def area_of(width: float, height: float, area: float) -> bool:
    """Whether `area` is that of a box of these sides, give or take a pixel on each."""
    return min(width, height) > 0 and abs(width * height - area) <= width + height + 1


def _near(one: Box, other: Box) -> bool:
    return all(abs(a - b) <= ROUNDING for a, b in zip(one, other, strict=True))


def _within(box: Box, size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = (min(max(value, 0.0), float(side)) for value, side in zip(box, (*size, *size), strict=True))
    return x0, y0, x1, y1
