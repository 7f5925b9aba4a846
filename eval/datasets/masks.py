"""COCO's segmentations as masks. Run lengths and polygons come from files: all are checked before memory is taken."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as cocomask

from eval.datasets import boxes
from eval.files.parsed import shown

# How far beyond the picture a polygon's corner may lie, in sides of the picture: rasterising takes memory by extent.
MARGIN = 1


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one picture's objects: callable with objects' numbers, picklable; rasterises at each call.

    segmentations: per object, polygons [[x0, y0, x1, y1, ...], ...] or run lengths {"size": [h, w], "counts": ...}.
    size: (width, height). boxes: (N,4) as in `Sample`. names: what each is called in messages.
    """

    segmentations: tuple
    size: tuple[int, int]
    boxes: np.ndarray
    names: tuple[str, ...]

    def __call__(self, numbers: np.ndarray) -> np.ndarray:
        """(height,width) bool, the union of the objects `numbers` (K,). ValueError names the annotation."""
        width, height = self.size
        union, outlines, thin = np.zeros((height, width), bool), [], []
        for number in map(int, numbers):
            segmentation, name = self.segmentations[number], self.names[number]
            if isinstance(segmentation, dict):
                mask = _runs(segmentation, self.size, name)
                thin += [] if mask.any() else [number]
                union |= mask
            elif isinstance(segmentation, list) and segmentation:
                parts = cocomask.frPyObjects(_polygons(segmentation, self.size, name), height, width)
                thin += [] if cocomask.area(parts).any() else [number]
                outlines += parts
            else:
                raise ValueError(f"{name} has no segmentation; dataset.region=boxes does without")
        if outlines:
            union |= cocomask.decode(cocomask.merge(outlines)).view(bool)
        for number in thin:
            # An outline thinner than a pixel covers no pixel's centre; the object is still there.
            x0, y0, x1, y1 = self.boxes[number]
            union[y0:y1, x0:x1] = True
        return union


def extent(segmentation: Any, size: tuple[int, int]) -> boxes.Box | None:
    """x0 y0 x1 y1 (pixels, end exclusive) that an object's outline or mask spans; None without one that can be read.

    Takes no memory for the mask itself.
    """
    try:
        if isinstance(segmentation, dict):
            return _span(lengths(segmentation, size, ""), size[1])
        if not isinstance(segmentation, list) or not segmentation:
            return None
        polygons = _polygons(segmentation, size, "")
    except ValueError:
        return None
    across, down = ([v for polygon in polygons for v in polygon[place::2]] for place in (0, 1))
    return min(across), min(down), max(across), max(down)


def _polygons(segmentation: list[Any], size: tuple[int, int], name: str) -> list[list[float]]:
    polygons = []
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"{name}: a polygon needs at least three points x, y")
        if not _plain(polygon):
            polygon = [boxes.number(value, f"{name}: a coordinate of a polygon") for value in polygon]
        for side, along in zip(size, (polygon[::2], polygon[1::2]), strict=True):
            low, high = min(along), max(along)
            if low < -MARGIN * side or high > (1 + MARGIN) * side:
                far = low if low < -MARGIN * side else high
                raise ValueError(f"{name}: the polygon's {far:g} lies far outside the {size[0]} x {size[1]} picture")
        polygons.append(polygon)
    return polygons


def _plain(polygon: list[Any]) -> bool:
    """Whether all values are usable numbers as they are: data sets have millions of them, and hardly ever others."""
    return (
        set(map(type, polygon)) <= {int, float}
        and min(polygon) > -(2**31)
        and max(polygon) < 2**31
        and math.isfinite(sum(polygon))
    )


def lengths(segmentation: dict[str, Any], size: tuple[int, int], name: str) -> np.ndarray:
    """Run lengths (n,) int64 that sum to the picture's pixels: they alternate from 0 and go down the columns."""
    width, height = size
    if segmentation.get("size") != [height, width]:
        raise ValueError(
            f"{name}: the mask's size {shown(segmentation.get('size'))} is not the picture's [{height}, {width}]"
        )
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _unpacked(counts, name)
    if not isinstance(counts, list) or not all(type(c) is int and c >= 0 for c in counts):
        raise ValueError(f"{name}: the mask's run lengths are no whole numbers")
    if sum(counts) != width * height:
        raise ValueError(f"{name}: the mask's run lengths sum to {shown(sum(counts))}, not to {width} x {height}")
    return np.array(counts, np.int64)


def _runs(segmentation: dict[str, Any], size: tuple[int, int], name: str) -> np.ndarray:
    width, height = size
    counts = lengths(segmentation, size, name)
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T.copy()


def _span(runs: np.ndarray, height: int) -> boxes.Box | None:
    ends = np.cumsum(runs)
    inside = (np.arange(len(runs)) % 2 == 1) & (runs > 0)
    first, last = (ends - runs)[inside], ends[inside] - 1
    if not len(first):
        return None
    whole = first // height != last // height  # such a run reaches the bottom of a column and the top of the next
    top, bottom = np.where(whole, 0, first % height), np.where(whole, height - 1, last % height)
    return float(first[0] // height), float(top.min()), float(last[-1] // height + 1), float(bottom.max() + 1)


def _unpacked(packed: str, name: str) -> list[int]:
    """Run lengths from COCO's characters: 6-bit groups from "0" on, 5 bits of value, lowest first, the sixth says more
    follow; the value is signed, and from the fourth on a difference to the value two before."""
    counts: list[int] = []
    value = shift = 0
    for character in packed:
        group = ord(character) - 48
        if not 0 <= group < 64 or shift > 35:
            raise ValueError(f"{name}: the mask's packed run lengths are damaged")
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise ValueError(f"{name}: the mask's packed run lengths end in the middle")
    return counts
