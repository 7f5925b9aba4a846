"""COCO's segmentations as masks. Run lengths and polygons come from files: all are checked before memory is taken."""

import math
from dataclasses import dataclass

import numpy as np
from pycocotools import mask as cocomask

# How far beyond the picture a polygon's corner may lie, in sides of the picture: rasterising takes memory by extent.
MARGIN = 1


@dataclass(frozen=True, eq=False)
class Masks:
    """The masks of one picture's objects: callable with objects' numbers, picklable, rasterised when asked for.

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
                found = _runs(segmentation, self.size, name)
                thin += [] if found.any() else [number]
                union |= found
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


def _polygons(segmentation: list, size: tuple[int, int], name: str) -> list[list[float]]:
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise ValueError(f"{name}: a polygon needs at least three points x, y")
        for place, value in enumerate(polygon):
            side = size[place % 2]
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ValueError(f"{name}: {value!r} is no coordinate of a polygon")
            if not -MARGIN * side <= value <= (1 + MARGIN) * side:
                raise ValueError(f"{name}: the polygon's {value} lies far outside the {size[0]} x {size[1]} picture")
    return segmentation


def _runs(segmentation: dict, size: tuple[int, int], name: str) -> np.ndarray:
    width, height = size
    if segmentation.get("size") != [height, width]:
        raise ValueError(f"{name}: the mask's size {segmentation.get('size')} is not the picture's [{height}, {width}]")
    counts = segmentation.get("counts")
    if isinstance(counts, str):
        counts = _unpacked(counts, name)
    if not isinstance(counts, list) or not all(type(c) is int and c >= 0 for c in counts):
        raise ValueError(f"{name}: the mask's run lengths are no whole numbers")
    if sum(counts) != width * height:
        raise ValueError(f"{name}: the mask's run lengths sum to {sum(counts)}, not to {width} x {height}")
    # Runs alternate from 0 and go down the columns.
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(width, height).T.copy()


def _unpacked(packed: str, name: str) -> list[int]:
    """Run lengths from COCO's characters: 6-bit groups from "0" on, 5 bits of value, lowest first, the sixth says more
    follow; the value is signed, and from the fourth on a difference to the value two before."""
    counts, value, shift = [], 0, 0
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
