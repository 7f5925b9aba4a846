"""ILSVRC2012 localisation (Russakovsky et al., IJCV 2015): validation pictures of one class each, with boxes."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from eval.datasets import boxes, names, voc
from eval.datasets.pictures import Picture, stored_size
from eval.files.parsed import shown
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


class ImageNet:
    """ILSVRC2012 val with boxes: sized, indexable, decodes lazily; classes in torchvision's order and names.

    root: folder of the data set. images: the pictures, flat or in one folder per synset. boxes: a folder of XML files
    or LOC_val_solution.csv. Both relative to root, None: looked for where the known archives put them. Coordinates in
    both are 0-based and inclusive.

    Pictures without boxes are left out, counted and named in `notes`, as are boxes without picture.
    FileNotFoundError where either is missing altogether.
    """

    def __init__(self, root: str | Path | None, images: str | None = None, boxes: str | None = None) -> None:
        base = names.folder(root, "ImageNet", REMEDY)
        table = imagenet_classes()
        self.classes, self.numbers = tuple(table.values()), {synset: number for number, synset in enumerate(table)}
        self.root, files, self.remarks = _pictures(base, images)
        self.boxes, self.annotated = _boxes(base, boxes)
        annotated = set(self.annotated)
        without = sorted(set(files) - annotated)
        self.keys = tuple(sorted(set(files) & annotated))
        self.names = tuple(files[key] for key in self.keys)
        if not self.keys:
            raise FileNotFoundError(f"ImageNet: no picture in {self.root} has boxes in {self.boxes}; {REMEDY}")
        self.notes = tuple(
            f"{len(keys):,} {what}: {names.first_of(keys)}"
            for keys, what in (
                (without, f"of the pictures in {self.root} have no boxes and are left out"),
                (sorted(annotated - set(files)), f"of the pictures with boxes in {self.boxes} are not in {self.root}"),
            )
            if keys
        )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        key, name, entry = self.keys[index], self.names[index], self.annotated[self.keys[index]]
        if self.boxes.is_dir():
            annotation = voc.read(names.inside(self.boxes, str(entry)))
            sample = annotation.sample(key, Picture(self.root, name, annotation.size), self.numbers, 0, inclusive=True)
        elif isinstance(entry, ValueError):
            raise entry
        else:
            sample = self._from_solution(key, name, entry)
        synset, _, file = name.rpartition("/")
        if file and synset in self.numbers and any(sample.labels != self.numbers[synset]):
            raise ValueError(
                f"{self.root / name} lies in the folder of another class than its boxes in {self.boxes} say"
            )
        return sample

    def _from_solution(self, key: str, name: str, entry: str) -> Sample:
        size, what = stored_size(self.root, name), f"{self.boxes}, {key}"
        rectangles, labels, words = [], [], entry.split()
        if not words or len(words) % 5:
            raise ValueError(f"{what}: {shown(entry)} is not made of groups of a synset and four numbers")
        for place in range(0, len(words), 5):
            synset, which = words[place], f"{what}, box {place // 5 + 1}"
            if synset not in self.numbers:
                raise ValueError(f"{which}: {shown(synset)} is no synset of ILSVRC2012")
            corners = [boxes.number(word, which) for word in words[place + 1 : place + 5]]
            boxes.in_pixels(corners, size, which)
            x0, y0, x1, y1 = map(round, corners)
            rectangles.append(boxes.clipped(x0, y0, x1 + 1, y1 + 1, size, which))
            labels.append(self.numbers[synset])
        return Sample(
            key=key,
            size=size,
            boxes=np.array(rectangles, np.int64).reshape(-1, 4),
            labels=np.array(labels, np.int64),
            hard=np.zeros(len(labels), bool),
            open=Picture(self.root, name, size),
        )


def _pictures(base: Path, given: str | None) -> tuple[Path, dict[str, str], list[str]]:
    """The folder; by key, the pictures' names in it; and a line about hidden files, or none."""
    if given is not None:
        tried = [names.folder(base / Path(str(given)).expanduser(), "ImageNet pictures", REMEDY)]
    else:
        tried = [base / place for place in PICTURES if (base / place).is_dir()]
    for place in tried:
        files, hidden = _listed(place)
        if files:
            return place.resolve(), files, names.hidden_remark(place, hidden)
    raise FileNotFoundError(f"ImageNet: no pictures in {', '.join(map(str, tried))}; {REMEDY}")


def _listed(place: Path) -> tuple[dict[str, str], list[str]]:
    files, hidden = names.listed(place, names.PICTURES)
    for entry in sorted(os.scandir(place), key=lambda e: e.name):
        # One folder per synset and nothing deeper: other folders beside the pictures hold other things.
        if entry.name[:1] == "n" and entry.name[1:].isdecimal() and len(entry.name) == 9 and entry.is_dir():
            inner, more = names.listed(Path(entry.path), names.PICTURES)
            files += [f"{entry.name}/{name}" for name in inner]
            hidden += [f"{entry.name}/{name}" for name in more]
    names_of: dict[str, str] = {}
    twice = []
    for name in files:
        key = name.rpartition("/")[2].rpartition(".")[0]
        twice += [key] if key in names_of else []
        names_of[key] = name
    if twice:
        raise ValueError(f"{place}: {len(twice)} pictures are there twice, the first is {twice[0]}")
    return names_of, hidden


def _boxes(base: Path, given: str | None) -> tuple[Path, Mapping[str, str | ValueError]]:
    """The folder of XML files and its files by key, or the CSV file and its lines' second columns by key."""
    tried = [base / Path(str(given)).expanduser()] if given is not None else [base / place for place in BOXES]
    for place in tried:
        if place.parent.is_dir() and (file := names.located(place.parent, [place.name])[0]):
            place = place.parent / file[0]
        if place.is_file():
            return place, _solution(place)
        if place.is_dir() and (files := names.listed(place, (".xml",))[0]):
            return place.resolve(), names.by_stem(files, place)
    raise FileNotFoundError(f"ImageNet: no boxes in {', '.join(map(str, tried))}; {REMEDY}")


def _solution(path: Path) -> dict[str, str | ValueError]:
    try:
        rows = list(csv.reader(io.StringIO(names.text(path)), strict=True))
    except csv.Error as error:
        raise ValueError(f"{path} is no readable CSV: {error}") from error
    if not rows or [cell.strip() for cell in rows[0]] != ["ImageId", "PredictionString"]:
        raise ValueError(f"{path} does not begin with the columns ImageId,PredictionString")
    solution: dict[str, str | ValueError] = {}
    for number, row in enumerate(rows[1:], 2):
        key = row[0].strip() if row else ""
        if not row:
            continue
        if not key:
            raise ValueError(f"{path}, line {number} names no picture: {shown(row)}")
        good = len(row) == 2 and key not in solution
        problem = ValueError(f"{path}, line {number}: not one new picture and its boxes: {shown(row)}")
        solution[key] = row[1] if good else problem
    return solution
