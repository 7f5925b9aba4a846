"""PASCAL VOC (Everingham et al., IJCV 2010): pictures with 1-based inclusive boxes in one XML file each."""

import math
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, fromstring

import defusedxml
import numpy as np
from defusedxml import ElementTree

from eval.datasets import boxes, names
from eval.datasets.instances import rotation
from eval.datasets.pictures import Picture
from eval.files.download import Archive
from eval.files.parsed import shown
from eval.files.places import cache_folder
from eval.game.sample import Sample

CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip

TEST_ARCHIVE = Archive(
    url="https://thor.robots.ox.ac.uk/pascal/VOC/voc2007/VOCtest_06-Nov-2007.tar",
    sha256="6836888e2e01dca84577a849d339fa4f73e1e4f135d312430c4856b5609b4892",
    size=451_020_800,
)
NUMBERS = {name: number for number, name in enumerate(CLASSES)}
REMEDY = (
    "set dataset.root=DIR (the folder VOCdevkit or its parent) or dataset.download=true "
    "(451 MB, VOCtest_06-Nov-2007.tar)"
)
MAX_XML = 8 * 2**20
CORNERS = ("xmin", "ymin", "xmax", "ymax")
FIRST = (
    "VOC counts pixels from 1, so the tool that wrote this counts from 0, or the box is off by one; dataset.first=0 "
    "reads xmin as 0-based and xmax as the edge behind the last pixel (xmin + width), dataset.first=1 as VOC does"
)
THIN = (
    "is empty or inverted; tools that take xmax - xmin for the width and write xmax = xmin + width - 1 leave an object "
    "one pixel wide so: in VOC xmax is the last pixel, here xmin itself, and their other boxes lack a row and a column"
)
READ = ("filename", "size", "width", "height", "name", "bndbox", "difficult", *CORNERS)


class VOC:
    """VOC2007 test, or another year and split in the same layout: sized, indexable, decodes lazily.

    root: the folder VOCdevkit, its parent, or VOC2007 itself; None: where `download` puts it.
    download: fetch and check the official archive of VOC2007 test where it is not there.
    first: coordinate of the first pixel, as in `Annotation.sample`.

    Lists and folders are checked here, before any work: FileNotFoundError. An annotation is read when its sample is
    read; ValueError then names the file.
    """

    classes = CLASSES

    def __init__(
        self,
        root: str | Path | None = None,
        download: bool = False,
        year: int = 2007,
        split: str = "test",
        first: int | None = None,
    ) -> None:
        self.first = checked_first(first)
        name = f"VOC{year} {split}"
        if download and (year, split) != (2007, "test"):
            raise ValueError(f"only VOC2007 test is downloaded, not {name}; {REMEDY}")
        if root is None and (download or cache_folder("voc2007").is_dir()):
            root = cache_folder("voc2007")
        if download:
            place = Path(str(root)).expanduser()
            TEST_ARCHIVE.fetch(place, lambda: self._complete(place, year, split))
        self._find(root, year, split)

    def _complete(self, root: Path, year: int, split: str) -> bool:
        try:
            self._find(root, year, split)
        except FileNotFoundError:
            return False
        return True

    def _find(self, root: str | Path | None, year: int, split: str) -> None:
        name = f"VOC{year} {split}"
        base = names.folder(root, name, REMEDY)
        tried = [base / "VOCdevkit" / f"VOC{year}", base / f"VOC{year}", base]
        self.root = next((p for p in tried if (p / "Annotations").is_dir()), None)
        if self.root is None:
            raise FileNotFoundError(f"{name}: no folder VOCdevkit/VOC{year}/Annotations under {base}; {REMEDY}")
        listing = names.file(self.root / "ImageSets" / "Main" / f"{split}.txt", f"{name}, list of pictures", REMEDY)
        self.keys = tuple(line.split()[0] for line in names.text(listing).splitlines() if line.strip())
        if not self.keys or len(set(self.keys)) != len(self.keys):
            raise ValueError(f"{listing} is empty or names a picture twice")
        self.folders: dict[str, Path] = {}
        self.files: dict[str, list[str]] = {}
        for kind, suffix in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
            self.folders[kind] = names.folder(self.root / kind, name, REMEDY)
            self.files[kind], lost = names.located(self.folders[kind], [key + suffix for key in self.keys])
            if lost:
                raise FileNotFoundError(
                    f"{name}: {len(lost):,} of {len(self.keys):,} files are missing in {self.folders[kind]}, the first "
                    f"is {lost[0]}; {REMEDY}"
                )

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: int) -> Sample:
        annotation = read(names.inside(self.folders["Annotations"], self.files["Annotations"][index]))
        picture = Picture(self.folders["JPEGImages"], self.files["JPEGImages"][index], annotation.size)
        return annotation.sample(self.keys[index], picture, NUMBERS, self.first)


@dataclass(frozen=True)
class Annotation:
    """What one VOC-style XML file says.

    path: the file. filename: the picture it names, or "". size: (width, height), or None.
    objects: (class name, (xmin, ymin, xmax, ymax) as written, difficult) of each object.
    """

    path: Path
    filename: str
    size: tuple[int, int] | None
    objects: tuple[tuple[str, boxes.Box, bool], ...]

    def place(self, number: int) -> str:
        """What messages call the object of that number, from 1."""
        return f"{self.path}, object {number} ({shown(self.objects[number - 1][0])[1:-1]})"

    def at_zero(self) -> list[str]:
        """The objects with an xmin or ymin of 0, which VOC's coordinates, counted from 1, do not have."""
        return [
            f"{self.place(number)}: <{CORNERS[box.index(0)]}> is 0"
            for number, (_, box, _) in enumerate(self.objects, 1)
            if 0 in box[:2] and max(box) > boxes.SHARE
        ]

    def empty(self, first: int | None) -> list[int]:
        """The numbers, from 1, of objects whose box holds no pixel: all 0, as tools write it where there is none, or,
        counted from 0, without width or height."""
        return [
            number
            for number, (_, (x0, y0, x1, y1), _) in enumerate(self.objects, 1)
            if not any((x0, y0, x1, y1)) or (first == 0 and (x0 == x1 or y0 == y1))
        ]

    def sample(
        self,
        key: str,
        picture: Picture,
        classes: Mapping[str, int],
        first: int | None = None,
        inclusive: bool = False,
        without: Container[int] = (),
    ) -> Sample:
        """The sample of `picture`.

        classes: {name: number}.
        first: coordinate of the picture's first pixel. 1: as in VOC, boxes hold their last pixel; None: so, unless a
        box begins at 0. 0: as COCO's corners, boxes end before it, or, `inclusive`, with it, as in ImageNet.
        without: numbers of objects, from 1, that are left out.
        """
        if self.size is None:
            raise ValueError(f"{self.path} has no <size> with <width> and <height>")
        if first is None and (begun := self.at_zero()):
            raise ValueError(f"{begun[0]}; {FIRST}")
        rectangles, labels, flags = [], [], []
        for number, (label, box, hard) in enumerate(self.objects, 1):
            what = self.place(number)
            if number in without:
                continue
            if label not in classes:
                raise ValueError(f"{what}: unknown class; the data set has {', '.join([*classes][:30])}")
            if any(box):
                boxes.in_pixels(box, self.size, what)
            if first == 0 and not inclusive:
                x0, y0, x1, y1 = math.floor(box[0]), math.floor(box[1]), math.ceil(box[2]), math.ceil(box[3])
            else:
                x0, y0, x1, y1 = (round(value) - (first != 0) for value in box)
                x1, y1 = x1 + 1, y1 + 1
                if (x1 == x0 or y1 == y0) and any(box):
                    raise ValueError(f"{what}: the box x {box[0]:g}..{box[2]:g}, y {box[1]:g}..{box[3]:g} {THIN}")
            rectangles.append(boxes.clipped(x0, y0, x1, y1, self.size, what))
            labels.append(classes[label])
            flags.append(hard)
        return Sample(
            key=key,
            size=self.size,
            boxes=np.array(rectangles, np.int64).reshape(-1, 4),
            labels=np.array(labels, np.int64),
            hard=np.array(flags, bool),
            open=picture,
        )


def read(path: Path) -> Annotation:
    """Reads a VOC-style XML file; ValueError names the file. Entities and document types are refused, not expanded."""
    if not path.is_file():
        raise FileNotFoundError(f"the annotation {path} does not exist")
    if path.stat().st_size > MAX_XML:
        raise ValueError(f"{path} is larger than {MAX_XML >> 20} MiB: no annotation of one picture")
    try:
        data = path.read_bytes()
        plain = data.isascii() and not (b"<!" in data or b"\0" in data)  # it declares nothing that is refused
        root = fromstring(data) if plain else ElementTree.fromstring(data, forbid_dtd=True)
    except defusedxml.DefusedXmlException as error:
        raise ValueError(f"{path} declares entities or a document type and is refused: {error}") from error
    except (ParseError, ValueError, LookupError, RecursionError) as error:
        raise ValueError(f"{path} is no readable XML: {error}") from error
    children, size = _children(root, str(path)), None
    if "size" in children:
        sides = _children(children["size"], str(path))
        width, height = (_text(sides.get(side)) for side in ("width", "height"))
        size = None if width is None or height is None else boxes.picture_size(width, height, str(path))
    objects = tuple(_object(node, f"{path}, object {number}") for number, node in enumerate(root.iter("object"), 1))
    return Annotation(path, _text(children.get("filename")) or "", size, objects)


def _object(node: Element, what: str) -> tuple[str, boxes.Box, bool]:
    children = _children(node, what)
    name = _text(children.get("name"))
    if not name:
        raise ValueError(f"{what} has no <name>")
    what = f"{what} ({shown(name)[1:-1]})"
    turned = "robndbox" if "robndbox" in children else rotation(_said(node))
    if turned:
        raise ValueError(f"{what} has {turned}: rotated boxes are not read; write upright ones, or COCO's masks")
    if "bndbox" not in children:
        raise ValueError(f"{what} has no <bndbox>")
    box = _children(children["bndbox"], what)
    x0, y0, x1, y1 = (boxes.number(_text(box.get(tag)), f"{what}: <{tag}>") for tag in CORNERS)
    flagged = boxes.flag(_text(children.get("difficult")), f"{what}: <difficult>")
    return name, (x0, y0, x1, y1), flagged


def _said(node: Element) -> dict[str, str | None]:
    """What an object and its box say by tags, and by CVAT's <attributes>, in which name and value are tags."""
    said = {child.tag: _text(child) for place in (node, *node.iterfind("bndbox")) for child in place}
    for attribute in node.iterfind("attributes/attribute"):
        said[_text(attribute.find("name")) or ""] = _text(attribute.find("value"))
    return said


def checked_first(first: int | None) -> int | None:
    """The setting; ValueError unless it is one."""
    if first is not None and (isinstance(first, bool) or first not in (0, 1)):
        raise ValueError(f"dataset.first must be 0 or 1, not {first!r}")
    return first


def _children(node: Element, what: str) -> dict[str, Element]:
    """The parts of an element by name; ValueError where one that is read is there twice: which of them counts?"""
    children: dict[str, Element] = {}
    for child in node:
        if child.tag in children and child.tag in READ:
            raise ValueError(f"{what} has <{child.tag}> twice")
        children[child.tag] = child
    return children


def _text(node: Element | None) -> str | None:
    """An element's text; None where there is none."""
    return None if node is None else (node.text or "").strip() or None
