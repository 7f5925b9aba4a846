"""A user's own pictures with boxes or masks in COCO's or VOC's format: `dataset=folder dataset.root=DIR`."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from eval.datasets import names, voc
from eval.datasets.coco import Coco, checked_region
from eval.datasets.pictures import Picture, checked_reading, picture_remarks
from eval.files.parsed import shown
from eval.files.words import several
from eval.game.sample import Sample

REMEDY = (
    "set dataset.root=DIR, a folder with pictures and either a COCO file (*.json) or VOC files (*.xml), and "
    "dataset.annotations=NAME, dataset.images=NAME where they are not found by themselves"
)


def folder(
    root: str | Path | None,
    annotations: str | None = None,
    images: str | None = None,
    region: str | None = None,
    classes: Sequence[str | int] | None = None,
    first: int | None = None,
    crowds: str = "flagged",
    **pictures: Any,
) -> "Coco | VOCFolder":
    """The data set in `root`: `Coco` where the annotations are a JSON file, `VOCFolder` where they are XML files.

    annotations: the JSON file or the folder of XML files, relative to root; None: annotations.json, instances.json or
        the only *.json of root; else the *.xml in Annotations/ or in root itself.
    images: folder of the pictures, relative to root; None: images/, JPEGImages/ or root.
    region, crowds: COCO only, as in `Coco`. classes: VOC only, the class names in order; None: all, sorted. first: VOC
        only, as in `voc.Annotation.sample`. pictures: orientation, white, frame and bands of `Picture`.
    FileNotFoundError says what was looked for.
    """
    base = names.folder(root, "the folder data set", REMEDY)
    checked_region(region)
    if annotations is not None:
        place = base / Path(str(annotations)).expanduser()
        if not place.exists():
            raise FileNotFoundError(f"the folder data set: there is no {place}; {REMEDY}")
    else:
        place = _found(base)
    if not place.is_file():
        return VOCFolder(base, place, images, classes, first, **pictures)
    if classes is not None:
        raise ValueError(f"dataset.classes is for VOC's format; in {place} the categories' ids order the classes")
    if first is not None:
        raise ValueError(f"dataset.first is for VOC's format; COCO's boxes, {place}, are 0-based")
    return Coco(base, "", region, str(place), images, REMEDY, crowds, **pictures)


class VOCFolder:
    """Pictures with one VOC-style XML each: sized, indexable, decodes lazily.

    A picture belongs to the XML file of its name, whatever the format of the picture; where none has the XML's
    name, to the one that its <filename> names. All annotations are read here. FileNotFoundError: a picture is
    missing. A damaged XML raises its ValueError when its sample is read, so that the others can be evaluated;
    a class that it alone has is not known then.
    """

    def __init__(
        self,
        base: Path,
        place: Path,
        images: str | None = None,
        classes: Sequence[str | int] | None = None,
        first: int | None = None,
        **pictures: Any,
    ) -> None:
        self.first, self.reading = voc.checked_first(first), checked_reading(**pictures)
        if images is not None:
            given = base / Path(str(images)).expanduser()
            self.root = names.folder(given, "pictures of the folder data set", REMEDY)
        else:
            self.root = next(p for p in (base / "images", base / "JPEGImages", base) if p.is_dir()).resolve()
        present, hidden = names.listed(self.root, names.PICTURES)
        named, place = names.by_stem(present, self.root), place.resolve()
        files, more = names.listed(place, (".xml",))
        self.hidden = names.hidden_remark(place, more) + names.hidden_remark(self.root, hidden)
        self.annotations: list[voc.Annotation | ValueError] = []
        self.names: list[str] = []
        self.keys = tuple(names.by_stem(files, place))
        for file, stem in zip(files, self.keys, strict=True):
            annotation: voc.Annotation | ValueError
            try:
                annotation = voc.read(names.inside(place, file))
            except ValueError as error:
                annotation = error
            name = named.get(stem)
            if name is None and isinstance(annotation, voc.Annotation) and annotation.filename:
                name = next(iter(names.located(self.root, [annotation.filename])[0]), None)
            if name is None and isinstance(annotation, voc.Annotation):
                raise FileNotFoundError(f"{place / file}: no picture {stem}.* in {self.root}; {REMEDY}")
            self.annotations.append(annotation)
            self.names.append(name or "")
        if not self.keys:
            raise FileNotFoundError(f"the folder data set: no *.xml in {place}; {REMEDY}")
        sound = [annotation for annotation in self.annotations if isinstance(annotation, voc.Annotation)]
        begun = [found[0] for annotation in sound if first is None and (found := annotation.at_zero())]
        if begun:
            # One tool wrote all: boxes that begin elsewhere would be read one pixel off.
            raise ValueError(f"{begun[0]} (and in {len(begun):,} of {len(files):,} files); {voc.FIRST}")
        seen = sorted({label for annotation in sound for label, _, _ in annotation.objects})
        self.classes = tuple(seen) if classes is None else class_names(classes)
        self.numbers = {name: number for number, name in enumerate(self.classes)}

    @cached_property
    def remarks(self) -> list[str]:
        """Lines about how the files are read."""
        empty = [
            annotation.place(number)
            for annotation in self.annotations
            if isinstance(annotation, voc.Annotation)
            for number in annotation.empty(self.first)
        ]
        left = f"{several(len(empty), 'object')} with an empty box left out: {names.first_of(empty)}"
        pictures = [Picture(self.root, name, None, **self.reading) for name in self.names if name]
        return self.hidden + [left] * bool(empty) + picture_remarks(pictures)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        annotation = self.annotations[index]
        if isinstance(annotation, ValueError):
            raise annotation
        picture = Picture(self.root, self.names[index], annotation.size, **self.reading)
        empty = annotation.empty(self.first)
        return annotation.sample(self.keys[index], picture, self.numbers, self.first, without=empty)


def class_names(given: Sequence[str | int]) -> tuple[str, ...]:
    """The setting dataset.classes as names; a number is taken as text, ValueError for what is no name."""
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ValueError(f"dataset.classes must be a list of names, for example [cat,dog], not {shown(given)}")
    for name in given:
        if isinstance(name, bool) or not isinstance(name, str | int) or not str(name).strip():
            raise ValueError(f"dataset.classes: {shown(name)} is no name; a class of that name needs quotes")
    classes = tuple(str(name).strip() for name in given)
    if len(set(classes)) != len(classes):
        raise ValueError(f"dataset.classes names a class twice: {shown(list(classes))}")
    return classes


def _found(base: Path) -> Path:
    files = names.listed(base, (".json",))[0]
    known = [name for name in files if name.lower() in ("annotations.json", "instances.json")]
    if len(known) == 1 or len(files) == 1:
        return base / (known or files)[0]
    if files:
        raise ValueError(f"{base} has several *.json: choose with dataset.annotations=NAME")
    for place in (base / "Annotations", base / "annotations", base):
        if place.is_dir() and names.listed(place, (".xml",))[0]:
            return place
    raise FileNotFoundError(
        f"{base} has neither *.json nor *.xml, Annotations/*.xml; {REMEDY}. A picture without annotations cannot be "
        "scored; `python -m scripts.explain PICTURE` draws what methods say about it"
    )
