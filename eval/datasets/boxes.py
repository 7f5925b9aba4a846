"""Boxes as annotation files write them, checked before they become pixels."""

import math

# Annotation tools differ by a pixel at the border (0- or 1-based, width or width - 1); more than that is an error.
SLACK = 1.0


def whole(text: str | float | None, what: str) -> int:
    """A coordinate or size as an integer; ValueError naming `what` where it is missing or no finite number."""
    try:
        value = float(text)
    except (TypeError, ValueError):
        raise ValueError(f"{what} is {text!r}, no number") from None
    if not math.isfinite(value) or abs(value) >= 2**31:
        raise ValueError(f"{what} is {text!r}, not a coordinate")
    return round(value)


def clipped(x0: int, y0: int, x1: int, y1: int, size: tuple[int, int], what: str) -> tuple[int, int, int, int]:
    """The box (0-based, end exclusive) cut to the picture where it leaves it by at most a pixel.

    ValueError naming `what`: empty, inverted or farther outside.
    """
    width, height = size
    if x1 <= x0 or y1 <= y0:
        raise ValueError(f"{what}: the box x {x0}..{x1}, y {y0}..{y1} is empty or inverted")
    if min(x0, y0) < -SLACK or x1 > width + SLACK or y1 > height + SLACK:
        raise ValueError(f"{what}: the box x {x0}..{x1}, y {y0}..{y1} leaves the {width} x {height} picture")
    box = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if box[2] <= box[0] or box[3] <= box[1]:
        raise ValueError(f"{what}: the box x {x0}..{x1}, y {y0}..{y1} lies outside the {width} x {height} picture")
    return box


def picture_size(width, height, what: str) -> tuple[int, int]:
    """(width, height) of a picture, both positive; ValueError naming `what`."""
    size = whole(width, f"{what}: the width"), whole(height, f"{what}: the height")
    if min(size) < 1 or size[0] * size[1] > 2**31:
        raise ValueError(f"{what}: a picture of {size[0]} x {size[1]} pixels does not exist")
    return size
