"""COCO (Lin et al., ECCV 2014) and data sets in its format: one JSON file with boxes x, y, w, h and masks."""

import contextlib
import io
import json
import math
from pathlib import Path

import numpy as np
from pycocotools.coco import COCO

from eval.datasets import boxes, pictures
from eval.datasets.masks import Masks
from eval.game.sample import Sample

REMEDY = (
    "set dataset.root=DIR (the folder with val2014/ and annotations/instances_val2014.json, from "
    "https://cocodataset.org/#download) and, where they are called otherwise, dataset.images and dataset.annotations"
)
MAX_JSON = 4 * 2**30


class Coco:
    """Pictures of an `instances_*.json`: sized, indexable, decodes lazily. Class order is that of the category ids.

    root: folder of the data set. split: names the files, val2014 in TorchRay's pointing game.
    region: "masks": the ground truth is the union of the class's masks; "boxes": of its boxes. Crowds belong to it,
        and are the flagged (hard) objects.
    annotations, images: the JSON file and the folder, relative to root, where they are not found by themselves.

    Everything is read here but the pictures, which must exist: FileNotFoundError. ValueError for a damaged file; what
    is wrong with one annotation is said when its sample is asked for.
    """

    def __init__(
        self,
        root: str | Path | None,
        split: str = "val2014",
        region: str = "masks",
        annotations: str | None = None,
        images: str | None = None,
        remedy: str = REMEDY,
    ):
        if region not in ("masks", "boxes"):
            raise ValueError(f"dataset.region must be masks or boxes, not {region!r}")
        self.region = region
        base = pictures.folder(root, "COCO", remedy)
        self.path = _annotations(base, split, annotations, remedy)
        self.index = _read(self.path)
        categories = sorted(self.index.dataset["categories"], key=lambda c: c["id"])
        self.classes = tuple(str(c["name"]) for c in categories)
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"{self.path} has two categories of one name")
        self.labels = {c["id"]: i for i, c in enumerate(categories)}
        self.images = sorted(self.index.dataset["images"], key=lambda i: i["id"])
        names = [str(image["file_name"]) for image in self.images]
        self.folder = _images(base, split, images, names, remedy)
        lost = pictures.missing(self.folder, names)
        if lost:
            raise FileNotFoundError(
                f"{len(lost)} of {len(names)} pictures of {self.path} are missing in {self.folder}, the first is "
                f"{lost[0]}; {remedy}"
            )
        self.keys = tuple(name.rpartition(".")[0] or name for name in names)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        image, name = self.images[index], str(self.images[index]["file_name"])
        size = boxes.picture_size(image.get("width"), image.get("height"), f"{self.path}, picture {name}")
        objects = self.index.imgToAnns.get(image["id"], [])
        names = tuple(f"{self.path}, picture {name}, annotation {o.get('id')}" for o in objects)
        for o, what in zip(objects, names, strict=True):
            if o.get("category_id") not in self.labels:
                raise ValueError(f"{what}: unknown category_id {o.get('category_id')!r}")
        found = np.array([_box(o, size, what) for o, what in zip(objects, names, strict=True)], np.int64).reshape(-1, 4)
        masks = None
        if self.region == "masks" and objects:
            masks = Masks(tuple(o.get("segmentation") for o in objects), size, found, names)
        return Sample(
            key=self.keys[index],
            size=size,
            boxes=found,
            labels=np.array([self.labels[o["category_id"]] for o in objects], np.int64),
            hard=np.array([bool(o.get("iscrowd", 0)) for o in objects], bool),
            open=pictures.Picture(self.folder, name, size),
            masks=masks,
        )


def _annotations(base: Path, split: str, given: str | None, remedy: str) -> Path:
    if given is not None:
        return pictures.file(base / Path(given).expanduser(), "COCO annotations", remedy)
    tried = [
        base / "annotations" / f"instances_{split}.json",
        base / f"instances_{split}.json",
        base / "instances.json",
    ]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        others = sorted([*base.glob("annotations/instances_*.json"), *base.glob("instances_*.json")])
        hint = f"there are {', '.join(p.name for p in others)} (dataset.split=...)" if others else remedy
        raise FileNotFoundError(f"COCO: none of {', '.join(map(str, tried))} exists; {hint}")
    return found


def _images(base: Path, split: str, given: str | None, names: list[str], remedy: str) -> Path:
    if given is not None:
        return pictures.folder(base / Path(given).expanduser(), "COCO pictures", remedy)
    tried = [base / split, base / "images" / split, base / "images", base]
    found = next((path for path in tried if names and (path / names[0]).is_file()), None)
    return (found or next(path for path in tried if path.is_dir())).resolve()


def _read(path: Path) -> COCO:
    if path.stat().st_size > MAX_JSON:
        raise ValueError(f"{path} is larger than {MAX_JSON >> 30} GiB")
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no readable JSON: {error}") from error
    needed = {"images": ("id", "file_name"), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
    for part, keys in needed.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f"{path} has no list {part!r}: no COCO annotations of objects")
        for number, entry in enumerate(entries):
            if not isinstance(entry, dict) or any(not isinstance(entry.get(k), str | int) for k in keys):
                raise ValueError(f"{path}: entry {number} of {part!r} has no {' or no '.join(keys)}")
        ids = [entry.get("id", number) for number, entry in enumerate(entries)]
        if part != "annotations" and len({(type(i) is str, i) for i in ids}) != len(ids):
            raise ValueError(f"{path}: two entries of {part!r} have one id")
        if part != "annotations" and len({type(i) for i in ids}) > 1:
            raise ValueError(f"{path}: the ids of {part!r} are numbers and texts mixed")
    lost = {entry["image_id"] for entry in content["annotations"]} - {entry["id"] for entry in content["images"]}
    if lost:
        raise ValueError(
            f"{path}: {len(lost)} annotated pictures are not listed, the first has the id {min(lost, key=str)!r}"
        )
    index = COCO()
    index.dataset = content
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports to the terminal
        index.createIndex()
    return index


def _box(entry: dict, size: tuple[int, int], what: str) -> tuple[int, int, int, int]:
    box = entry.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f"{what} has no bbox [x, y, w, h]")
    for value in box:
        boxes.whole(value, f"{what}, bbox {box}")
    x, y, w, h = map(float, box)
    # Every pixel that the box touches.
    return boxes.clipped(math.floor(x), math.floor(y), math.ceil(x + w), math.ceil(y + h), size, what)
