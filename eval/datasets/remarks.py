"""Lines that count what a COCO file's annotations leave out or say in two ways."""

from typing import Any

import numpy as np

from eval.datasets import boxes, names
from eval.datasets.instances import Objects
from eval.datasets.masks import extent, lengths
from eval.files.parsed import shown
from eval.files.words import several

# Share of a box's width and height by which a region may cover another area than stated. Of 939 objects of COCO the
# rasterised outlines differ by up to 0.43; an outline without its last row and column differs by 1.
MISSING = 0.45
Images = list[dict[str, Any]]


def is_empty(entry: dict[str, Any], image: dict[str, Any]) -> bool:
    """Whether an annotation's box has no width or no height, and no outline or mask says where the object is."""
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or all(type(side) in (int, float) and side for side in box[2:]):
        return False
    try:
        corners = [boxes.number(value, "") for value in box]
        size = boxes.picture_size(image.get("width"), image.get("height"), "")
    except ValueError:
        return False  # said when the sample is read
    outline = extent(entry.get("segmentation"), size)
    flat = outline is None or outline[0] == outline[2] or outline[1] == outline[3]
    return flat and min(corners[2:]) == 0


def empty_remark(images: Images, objects: Objects, classes: tuple[str, ...]) -> list[str]:
    """A line that counts the objects left out because their boxes are empty, or none."""
    empty = [
        f"{image['file_name']}: annotation {shown(entry.get('id'))} ({'unknown' if label is None else classes[label]})"
        for image, those in zip(images, objects, strict=True)
        for label, entry in those
        if is_empty(entry, image)
    ]
    if not empty:
        return []
    what = several(len(empty), "object has an empty box and is", "objects have empty boxes and are")
    return [f"{what} left out: {names.first_of(empty)}"]


def crowd_remark(images: Images, objects: Objects, classes: tuple[str, ...]) -> list[str]:
    """A line that counts the pictures and classes that are there as crowds alone, and so make no pair; or none."""
    alone: dict[str, set[int]] = {}
    for image, those in zip(images, objects, strict=True):
        crowds = {label for label, entry in those if label is not None and _is_crowd(entry)}
        crowds -= {label for label, entry in those if label is not None and not _is_crowd(entry)}
        if crowds:
            alone[str(image["file_name"])] = crowds
    if not alone:
        return []
    kinds = [classes[label] for label in sorted(set().union(*alone.values()))]
    pairs = sum(map(len, alone.values()))
    return [
        f"{len(alone):,} of {len(images):,} pictures ({names.first_of(list(alone))}) have "
        f"{several(len(kinds), 'class')} ({names.first_of(kinds)}) only as crowds (iscrowd 1), which make no pair: "
        f"{several(pairs, 'pair is', 'pairs are')} left out; "
        "if a tool wrote masks of single objects as crowds, set dataset.crowds=objects"
    ]


def _is_crowd(entry: dict[str, Any]) -> bool:
    try:
        return boxes.flag(entry.get("iscrowd"), "")
    except ValueError:
        return False  # said when the sample is read


def area_remark(images: Images, objects: Objects) -> list[str]:
    """A line that counts the regions whose area is not the one that their annotation states, or none."""
    off, stated = [], 0
    for image, those in zip(images, objects, strict=True):
        for _, entry in those:
            covered = None if _is_crowd(entry) else _covered(entry, image)  # COCO's own crowds state rough areas
            if covered is None:
                continue
            stated += 1
            area, free = float(entry["area"]), MISSING * (float(entry["bbox"][2]) + float(entry["bbox"][3]))
            if abs(covered - area) > max(free, 2):
                name = f"{image['file_name']}, annotation {shown(entry.get('id'))}"
                off.append(f"{name}: {covered:,.0f} pixels for {area:,.0f}")
    if not off:
        return []
    return [
        f"{len(off):,} of {stated:,} regions have another area than their annotation states, by a row or column of "
        f"pixels or more ({names.first_of(off)}): outlines without their last pixels, or areas of boxes; "
        "dataset.region=boxes reads the boxes"
    ]


def _covered(entry: dict[str, Any], image: dict[str, Any]) -> float | None:
    """The area that an outline encloses or a mask covers; None where it or the stated one cannot be read."""
    segmentation = entry.get("segmentation")
    try:
        for value in (entry.get("area"), *entry["bbox"][2:4]):
            boxes.number(value, "")
        if isinstance(segmentation, dict):
            size = boxes.picture_size(image.get("width"), image.get("height"), "")
            return float(lengths(segmentation, size, "")[1::2].sum())
        if not segmentation:
            return None
        enclosed = 0.0
        for polygon in segmentation:
            x, y = np.asarray(polygon[::2], float), np.asarray(polygon[1::2], float)
            enclosed += abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
    except (ValueError, TypeError, KeyError):
        return None  # said when the sample is read
    return enclosed
