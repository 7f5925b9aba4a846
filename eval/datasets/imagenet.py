"""ILSVRC2012 localisation (Russakovsky et al., IJCV 2015): validation pictures of one class each, with boxes."""

import csv
import io
import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from eval.datasets import boxes, pictures, voc
from eval.game.sample import Sample
from eval.networks.class_map import imagenet_classes

REMEDY = (
    "set dataset.root=DIR (the folder with the pictures, flat or one folder per synset) and, where they are not found "
    "by themselves, dataset.images=DIR and dataset.boxes=DIR_OR_CSV; ILSVRC2012 comes from https://image-net.org or "
    "https://www.kaggle.com/c/imagenet-object-localization-challenge"
)
# Where the archives of image-net.org, Kaggle's archive and torchvision's ImageFolder put them, relative to the root.
PICTURES = ("ILSVRC/Data/CLS-LOC/val", "Data/CLS-LOC/val", "ILSVRC2012_img_val", "val", "images", ".")
BOXES = (
    "ILSVRC/Annotations/CLS-LOC/val",
    "Annotations/CLS-LOC/val",
    "ILSVRC2012_bbox_val_v3/val",
    "bbox/val",
    "bbox",
    "Annotations",
    "LOC_val_solution.csv",
    "val",
    ".",
)
Object = tuple[str, tuple[int, int, int, int]]
NAMED = 5


class ImageNet:
    """ILSVRC2012 val with boxes: sized, indexable, decodes lazily; classes in torchvision's order and names.

    root: folder of the data set. images: the pictures, flat or in one folder per synset. boxes: a folder of XML files
    or LOC_val_solution.csv. Both relative to root, None: looked for where the known archives put them. Coordinates in
    both are 0-based and inclusive.

    Pictures without boxes are left out, counted and named in `notes`, as are boxes without picture.
    FileNotFoundError where either is missing altogether.
    """

    def __init__(self, root: str | Path | None, images: str | None = None, boxes: str | None = None):
        base = pictures.folder(root, "ImageNet", REMEDY)
        table = imagenet_classes()
        self.classes, self.synsets = tuple(table.values()), tuple(table)
        self.root, names = _pictures(base, images)
        self.boxes, self.solution, annotated = _boxes(base, boxes)
        without = sorted(set(names) - annotated)
        self.keys = tuple(sorted(set(names) & annotated))
        self.names = tuple(names[key] for key in self.keys)
        if not self.keys:
            raise FileNotFoundError(f"ImageNet: no picture in {self.root} has boxes in {self.boxes}; {REMEDY}")
        self.notes = tuple(
            f"{len(keys):,} {what}: {', '.join(keys[:NAMED])}{' ...' if len(keys) > NAMED else ''}"
            for keys, what in (
                (without, f"pictures in {self.root} have no boxes and are left out"),
                (sorted(annotated - set(names)), f"pictures with boxes in {self.boxes} are not in {self.root}"),
            )
            if keys
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        key, name = self.keys[index], self.names[index]
        if self.solution is not None:
            sample = self._from_solution(key, name)
        else:
            found = voc.read(pictures.inside(self.boxes, f"{key}.xml"))
            sample = found.sample(key, self.root, name, self.synsets, first=0)
        told, _, file = name.rpartition("/")
        if file and told in self.synsets and any(sample.labels != self.synsets.index(told)):
            raise ValueError(
                f"{self.root / name} lies in the folder of another class than its boxes in {self.boxes} say"
            )
        return sample

    def _from_solution(self, key: str, name: str) -> Sample:
        size = pictures.stored_size(self.root, name)
        objects = _groups(self.solution[key], f"{self.boxes}, {key}")
        return _sample(key, name, self.root, size, objects, self.synsets, f"{self.boxes}, {key}")


def _sample(key, name, root, size, objects: Iterable[Object], synsets: tuple[str, ...], what: str) -> Sample:
    found, labels = [], []
    for synset, (x0, y0, x1, y1) in objects:
        if synset not in synsets:
            raise ValueError(f"{what}: {synset!r} is no synset of ILSVRC2012")
        found.append(boxes.clipped(x0, y0, x1 + 1, y1 + 1, size, what))
        labels.append(synsets.index(synset))
    return Sample(
        key=key,
        size=size,
        boxes=np.array(found, np.int64).reshape(-1, 4),
        labels=np.array(labels, np.int64),
        hard=np.zeros(len(labels), bool),
        open=pictures.Picture(root, name, size),
    )


def _pictures(base: Path, given: str | None) -> tuple[Path, dict[str, str]]:
    """The folder and, by key, the pictures' names in it."""
    if given is not None:
        tried = [pictures.folder(base / Path(given).expanduser(), "ImageNet pictures", REMEDY)]
    else:
        tried = [base / place for place in PICTURES if (base / place).is_dir()]
    for place in tried:
        names = _listed(place)
        if names:
            return place.resolve(), names
    raise FileNotFoundError(f"ImageNet: no pictures in {', '.join(map(str, tried))}; {REMEDY}")


def _listed(place: Path) -> dict[str, str]:
    names, twice = {}, []
    for entry in sorted(os.scandir(place), key=lambda e: e.name):
        # One folder per synset and nothing deeper: other folders beside the pictures hold other things.
        is_class = entry.name[:1] == "n" and entry.name[1:].isdecimal() and len(entry.name) == 9
        if is_class and entry.is_dir():
            files = [f"{entry.name}/{name}" for name in sorted(os.listdir(entry.path))]
        else:
            files = [entry.name]
        for name in files:
            stem, suffix = os.path.splitext(name.rpartition("/")[2])
            if suffix.lower() in pictures.SUFFIXES:
                twice += [stem] if stem in names else []
                names[stem] = name
    if twice:
        raise ValueError(f"{place}: {len(twice)} pictures are there twice, the first is {twice[0]}")
    return names


def _boxes(base: Path, given: str | None) -> tuple[Path, dict[str, str] | None, set[str]]:
    """The folder of XML files or the CSV file, the CSV's groups by key or None, and all keys."""
    tried = [base / Path(given).expanduser()] if given is not None else [base / place for place in BOXES]
    for place in tried:
        if place.is_file():
            solution = _solution(place)
            return place, solution, set(solution)
        if place.is_dir():
            keys = {name[:-4] for name in os.listdir(place) if name.endswith(".xml")}
            if keys:
                return place.resolve(), None, keys
    raise FileNotFoundError(f"ImageNet: no boxes in {', '.join(map(str, tried))}; {REMEDY}")


def _solution(path: Path) -> dict[str, str]:
    try:
        rows = list(csv.reader(io.StringIO(pictures.text(path)), strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} is no readable CSV: {error}") from error
    if not rows or [cell.strip() for cell in rows[0]] != ["ImageId", "PredictionString"]:
        raise ValueError(f"{path} does not begin with the columns ImageId,PredictionString")
    solution = {}
    for number, row in enumerate(rows[1:], 2):
        if not row:
            continue
        if len(row) != 2 or not row[0].strip() or row[0].strip() in solution:
            raise ValueError(f"{path}, line {number}: not one new picture and its boxes: {row!r}")
        solution[row[0].strip()] = row[1]
    return solution


def _groups(text: str, what: str) -> list[Object]:
    words = text.split()
    if not words or len(words) % 5:
        raise ValueError(f"{what}: {text!r} is not made of groups of a synset and four numbers")
    return [
        (words[i], tuple(boxes.whole(word, f"{what}, box {i // 5 + 1}") for word in words[i + 1 : i + 5]))
        for i in range(0, len(words), 5)
    ]
