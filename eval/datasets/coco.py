"""COCO (Lin et al., ECCV 2014) and data sets in its format: one JSON file with boxes x, y, w, h and masks."""

import math
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from eval.datasets import boxes, instances, names, remarks
from eval.datasets.masks import Masks, extent
from eval.datasets.pictures import Picture, checked_reading, picture_remarks
from eval.files.parsed import shown
from eval.game.sample import Sample

REMEDY = (
    "set dataset.root=DIR (the folder with val2014/ and annotations/instances_val2014.json, from "
    "https://cocodataset.org/#download) and, where they are called otherwise, dataset.images and dataset.annotations"
)


class Coco:
    """Pictures of an `instances_*.json`: sized, indexable, decodes lazily. Class order is that of the category ids.

    root: folder of the data set. split: names the files, val2014 in TorchRay's pointing game.
    region: "masks": the ground truth is the union of the class's masks; "boxes": of its boxes; None: masks where any
        annotation has one, else boxes. Crowds and difficult objects belong to it, and are the flagged (hard) objects.
    annotations, images: the JSON file and the folder, relative to root, where they are not found by themselves.
    crowds: "objects": iscrowd flags nothing, as where a tool writes it for every mask.
    pictures: how picture files are read: orientation, white, frame and bands of `Picture`.

    Everything is read here but the pictures, which must exist: FileNotFoundError. ValueError for a damaged file; what
    is wrong with one annotation raises when its sample is read.
    """

    def __init__(
        self,
        root: str | Path | None,
        split: str = "val2014",
        region: str | None = "masks",
        annotations: str | None = None,
        images: str | None = None,
        remedy: str = REMEDY,
        crowds: str = "flagged",
        **pictures: Any,
    ) -> None:
        checked_region(region)
        if crowds not in ("flagged", "objects"):
            raise ValueError(f"dataset.crowds must be flagged or objects, not {crowds!r}")
        self.crowds, self.reading = crowds, checked_reading(**pictures)
        base = names.folder(root, "COCO", remedy)
        self.path = _annotations(base, split, annotations, remedy)
        content = instances.read(self.path)
        self.classes, self.images, self.objects, self.areas = (
            content.classes,
            content.images,
            content.objects,
            content.areas,
        )
        outlined = any(entry.get("segmentation") for objects in self.objects for _, entry in objects)
        self.region, self.chosen = region or ("masks" if outlined else "boxes"), region is None
        files = [str(image["file_name"]) for image in self.images]
        self.folder = _images(base, split, images, files, remedy)
        self.names, lost = names.located(self.folder, files)
        if lost:
            raise FileNotFoundError(
                f"{len(lost):,} of {len(files):,} pictures of {self.path} are missing in {self.folder}, the first is "
                f"{lost[0]}; {remedy}"
            )
        self.keys = tuple(name.rpartition(".")[0] or name for name in files)

    @cached_property
    def remarks(self) -> list[str]:
        """Lines about how the files are read."""
        lines = []
        if self.chosen and any(self.objects):
            why = "annotations have outlines or masks" if self.region == "masks" else "no annotation has an outline"
            lines.append(f"the regions are {self.region}, as {why}; dataset.region=masks|boxes chooses")
        lines += remarks.empty_remark(self.images, self.objects, self.classes)
        if self.crowds == "flagged":
            lines += remarks.crowd_remark(self.images, self.objects, self.classes)
        if self.region == "masks":
            lines += remarks.area_remark(self.images, self.objects)
        return lines + picture_remarks([self._picture(index) for index in range(len(self))])

    def __len__(self) -> int:
        return len(self.images)

    def _picture(self, index: int, size: tuple[int, int] | None = None) -> Picture:
        return Picture(self.folder, self.names[index], size, **self.reading)

    def __getitem__(self, index: int) -> Sample:
        image = self.images[index]
        objects = [(label, entry) for label, entry in self.objects[index] if not remarks.is_empty(entry, image)]
        picture = f"{self.path}, picture {image['file_name']}"
        size = boxes.picture_size(image.get("width"), image.get("height"), picture)
        labels, rectangles, hard, called = [], [], [], []
        for label, entry in objects:
            what = f"{picture}, annotation {shown(entry.get('id'))}"
            if label is None:
                raise ValueError(f"{what}: unknown category_id {shown(entry.get('category_id'))}")
            labels.append(label)
            rectangles.append(self._box(entry, size, what))
            crowd, difficult = instances.marks(entry, what)
            hard.append(difficult or (crowd and self.crowds == "flagged"))
            called.append(what)
        regions = np.array(rectangles, np.int64).reshape(-1, 4)
        masks = None
        if self.region == "masks" and objects:
            masks = Masks(tuple(entry.get("segmentation") for _, entry in objects), size, regions, tuple(called))
        return Sample(
            key=self.keys[index],
            size=size,
            boxes=regions,
            labels=np.array(labels, np.int64),
            hard=np.array(hard, bool),
            open=self._picture(index, size),
            masks=masks,
        )

    def _box(self, entry: dict[str, Any], size: tuple[int, int], what: str) -> tuple[int, int, int, int]:
        box = entry.get("bbox")
        if not isinstance(box, list) or len(box) != 4:
            count = f" but {len(box)} numbers" if isinstance(box, list) and box else ""
            raise ValueError(f"{what} has no bbox [x, y, w, h]{count}" + f"; {instances.ROTATED}" * bool(count))
        outlined = self.region == "masks" and bool(entry.get("segmentation"))
        if not outlined and (turned := instances.rotation(entry)):
            raise ValueError(f"{what} has {turned}; {instances.ROTATED}")
        place = f"{what}, bbox"
        x, y, w, h = (boxes.number(value, place) for value in box)
        boxes.in_pixels((x, y, w, h), size, place)
        outline = extent(entry.get("segmentation"), size)
        if outline and isinstance(entry["segmentation"], list):
            boxes.in_pixels(outline, size, f"{what}, segmentation")
        reading = instances.box_and_area(entry) if self.areas else None
        if evidence := boxes.as_corners((x, y, w, h), outline, reading and reading[1], size):
            raise ValueError(f"{what}: bbox {shown(box)} is read as x, y, width, height, but {evidence}")
        corners = max(x, y) > 1 and x < w <= size[0] and y < h <= size[1]
        hint = " (bbox is read as x, y, width, height; as corners x0, y0, x1, y1 it would fit)" if corners else ""
        # Every pixel that the box touches.
        clipped = boxes.clipped(math.floor(x), math.floor(y), math.ceil(x + w), math.ceil(y + h), size, what, hint)
        if outline:
            boxes.holds((x, y, x + w, y + h), outline, size, what)
        return clipped


def checked_region(region: str | None) -> None:
    """ValueError unless the setting is one."""
    if region not in (None, "masks", "boxes"):
        raise ValueError(f"dataset.region must be masks or boxes, not {region!r}")


def _annotations(base: Path, split: str, given: str | None, remedy: str) -> Path:
    if given is not None:
        return names.file(base / Path(str(given)).expanduser(), "COCO annotations", remedy)
    tried = [f"annotations/instances_{split}.json", f"instances_{split}.json", "instances.json"]
    for name in tried:
        if files := names.located(base, [name])[0]:
            return base / files[0]
    others = [
        name
        for place in (base / "annotations", base)
        if place.is_dir()
        for name in names.listed(place, (".json",))[0]
        if name.startswith("instances_")
    ]
    hint = f"there are {', '.join(others)} (dataset.split=...)" if others else remedy
    raise FileNotFoundError(f"COCO: none of {', '.join(str(base / name) for name in tried)} exists; {hint}")


def _images(base: Path, split: str, given: str | None, files: list[str], remedy: str) -> Path:
    if given is not None:
        return names.folder(base / Path(str(given)).expanduser(), "COCO pictures", remedy)
    tried = [place for place in (base / split, base / "images" / split, base / "images", base) if place.is_dir()]
    folder = next((place for place in tried if files and names.located(place.resolve(), files[:1])[0]), None)
    return (folder or tried[0]).resolve()
