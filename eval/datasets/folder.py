"""A user's own pictures with boxes or masks in COCO's or VOC's format: `dataset=folder dataset.root=DIR`."""

import os
from collections.abc import Sequence
from pathlib import Path

from eval.datasets import pictures, voc
from eval.datasets.coco import Coco
from eval.game.sample import Sample

REMEDY = (
    "set dataset.root=DIR, a folder with pictures and either a COCO file (*.json) or VOC files (*.xml), and "
    "dataset.annotations=NAME, dataset.images=NAME where they are not found by themselves"
)


def folder(
    root: str | Path | None,
    annotations: str | None = None,
    images: str | None = None,
    region: str = "masks",
    classes: Sequence[str] | None = None,
):
    """The data set in `root`: `Coco` where the annotations are a JSON file, `VOCFolder` where they are XML files.

    annotations: the JSON file or the folder of XML files, relative to root; None: annotations.json, instances.json or
        the only *.json of root; else the *.xml in Annotations/ or in root itself.
    images: folder of the pictures, relative to root; None: images/, JPEGImages/ or root.
    region: COCO only, "masks" or "boxes". classes: VOC only, the class names in order; None: those found, sorted.
    FileNotFoundError says what was looked for.
    """
    base = pictures.folder(root, "the folder data set", REMEDY)
    if annotations is not None:
        place = base / Path(annotations).expanduser()
        if not place.exists():
            raise FileNotFoundError(f"the folder data set: there is no {place}; {REMEDY}")
    else:
        place = _found(base)
    if place.is_file():
        return Coco(base, split="", region=region, annotations=str(place), images=images, remedy=REMEDY)
    return VOCFolder(base, place, images, classes)


class VOCFolder:
    """Pictures with one VOC-style XML each: sized, indexable, decodes lazily.

    A picture belongs to the XML file of its name, whatever the format of the picture; where none has the XML's
    name, to the one that its <filename> names. All annotations are read here. FileNotFoundError: a picture is
    missing; ValueError names a damaged file.
    """

    def __init__(self, base: Path, place: Path, images: str | None = None, classes: Sequence[str] | None = None):
        if images is not None:
            self.root = pictures.folder(base / Path(images).expanduser(), "pictures of the folder data set", REMEDY)
        else:
            self.root = next(p for p in (base / "images", base / "JPEGImages", base) if p.is_dir()).resolve()
        present = sorted(os.listdir(self.root))
        by_stem = {}
        for name in present:
            stem, suffix = os.path.splitext(name)
            if suffix.lower() in pictures.SUFFIXES:
                if stem in by_stem:
                    raise ValueError(f"{self.root} has two pictures called {stem}: {by_stem[stem]} and {name}")
                by_stem[stem] = name
        place = place.resolve()
        self.annotations, self.names, self.keys = [], [], []
        for file in sorted(name for name in os.listdir(place) if name.endswith(".xml")):
            found = voc.read(pictures.inside(place, file))
            stem = file[:-4]
            name = by_stem.get(stem) or (found.filename if found.filename in present else None)
            if name is None:
                raise FileNotFoundError(f"{place / file}: no picture {stem}.* in {self.root}; {REMEDY}")
            self.annotations.append(found)
            self.names.append(name)
            self.keys.append(stem)
        if not self.keys:
            raise FileNotFoundError(f"the folder data set: no *.xml in {place}; {REMEDY}")
        seen = sorted({label for found in self.annotations for label, _, _ in found.objects})
        self.classes = tuple(classes) if classes else tuple(seen)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        found, key, name = self.annotations[index], self.keys[index], self.names[index]
        return found.sample(key, self.root, name, self.classes)


def _found(base: Path) -> Path:
    files = sorted(base.glob("*.json"))
    named = [p for p in files if p.name in ("annotations.json", "instances.json")]
    if len(named) == 1 or len(files) == 1:
        return (named or files)[0]
    if files:
        raise ValueError(f"{base} has several *.json: choose with dataset.annotations=NAME")
    for place in (base / "Annotations", base / "annotations", base):
        if place.is_dir() and any(name.endswith(".xml") for name in os.listdir(place)):
            return place
    raise FileNotFoundError(f"{base} has neither *.json nor *.xml, Annotations/*.xml; {REMEDY}")
