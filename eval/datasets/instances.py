"""COCO's JSON file with its parts checked: pictures, classes and objects, by ids that mean one thing."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.datasets.boxes import area_of, flag, number
from eval.files.parsed import read_json, shown

MAX_JSON = 4 * 2**30
Id = int | str
Objects = list[list[tuple[int | None, dict[str, Any]]]]
DIFFICULT = ("difficult", "ignore")  # pylabel and datumaro write the first, mmdetection's converters the second
TURNED = ("rotation", "rotate", "rotated", "angle", "theta", "rbox", "rbbox", "obb", "rotated_box", "rotated_bbox")
ROTATED = "rotated boxes are not read; export outlines or masks (segmentation) and set dataset.region=masks"


@dataclass(frozen=True, eq=False)
class Instances:
    """images: entries in the order of their ids. classes: names in the order of the categories' ids. objects: for each
    image (its class or None, entry) of its annotations. areas: whether `area` is that of the box where there is no
    outline, in nine of ten annotations at least.
    """

    images: list[dict[str, Any]]
    classes: tuple[str, ...]
    objects: Objects
    areas: bool


def read(path: Path) -> Instances:
    """ValueError names file and entry; a category that an annotation alone has wrong is left for its picture."""
    if path.stat().st_size > MAX_JSON:
        raise ValueError(f"{path} is larger than {MAX_JSON >> 30} GiB")
    content = read_json(path)
    needed = {"images": ("id", "file_name"), "annotations": ("image_id",), "categories": ("id", "name")}
    for part, keys in needed.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f"{path} has no list {part!r}: no COCO annotations of objects")
        for place, entry in enumerate(entries):
            if not isinstance(entry, dict) or any(_identifier(entry.get(key)) is None for key in keys):
                raise ValueError(f"{path}: entry {place} of {part!r} has no {' or no '.join(keys)}")
    images, categories, annotations = content["images"], content["categories"], content["annotations"]
    if annotations and not any("category_id" in entry for entry in annotations):
        raise ValueError(f"{path}: entry 0 of 'annotations' has no category_id, and neither has another: no objects")
    image_ids, image_of = _ids(path, "images", images, [entry["image_id"] for entry in annotations])
    class_ids, class_of = _ids(path, "categories", categories, [entry.get("category_id") for entry in annotations])
    if lost := [entry["image_id"] for entry, number in zip(annotations, image_of, strict=True) if number is None]:
        raise ValueError(
            f"{path}: {len({str(i) for i in lost})} annotated pictures are not listed, the first has the id "
            f"{shown(min(lost, key=str))}"
        )
    objects: Objects = [[] for _ in images]
    for picture, label, entry in zip(image_of, _ranked(class_ids, class_of), annotations, strict=True):
        objects[picture or 0].append((label, entry))
    order = _order(image_ids)
    names = [str(categories[i]["name"]) for i in _order(class_ids)]
    _check_names(path, names)
    return Instances([images[i] for i in order], tuple(names), [objects[i] for i in order], _areas(annotations))


def _identifier(value: Any) -> Id | None:
    """An id or a name: a whole number (also 1.0, as tables export it) or a text; None for anything else."""
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if isinstance(value, int | str) and not isinstance(value, bool) and value != "" else None


def _ids(path: Path, part: str, entries: list[dict[str, Any]], used: list[Any]) -> tuple[list[Id], list[int | None]]:
    """(the id of each entry, the entry that each of `used` names, None where there is none).

    Texts that are whole numbers are sorted as such: as texts 10 comes before 2, and the network's outputs would be
    taken for other classes than they stand for.
    """
    ids = [i for entry in entries if (i := _identifier(entry["id"])) is not None]
    uses = [_identifier(value) for value in used]
    if len({isinstance(i, str) for i in (*ids, *uses) if i is not None}) > 1:
        raise ValueError(f"{path}: the ids of {part!r} are numbers and texts mixed")
    words = [i for i in ids if _as_number(i) is None]
    if words and part == "categories":
        raise ValueError(
            f"{path}: the id {shown(words[0])} of 'categories' is no whole number, and ids decide which class is which "
            "output of a network; number the categories"
        )
    if not words:
        ids, uses = [_as_number(i) or 0 for i in ids], [_as_number(i) for i in uses]
    place = {i: number for number, i in enumerate(ids)}
    if len(place) != len(ids):
        raise ValueError(f"{path}: two entries of {part!r} have one id")
    return ids, [None if i is None else place.get(i) for i in uses]


def _as_number(value: Id | None) -> int | None:
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"\s*-?[0-9]{1,18}\s*", value) else None
    return value


def _order(ids: list[Id]) -> list[int]:
    """The entries by their ids, which are numbers all or texts all."""
    return sorted(range(len(ids)), key=ids.__getitem__)  # type: ignore[arg-type]


def _ranked(ids: list[Id], used: list[int | None]) -> list[int | None]:
    rank = {entry: number for number, entry in enumerate(_order(ids))}
    return [None if entry is None else rank[entry] for entry in used]


def _check_names(path: Path, names: list[str]) -> None:
    if len(set(names)) != len(names):
        raise ValueError(f"{path} has two categories of one name")
    for name in names:
        try:
            name.encode("utf-8")
        except UnicodeEncodeError:
            raise ValueError(f"{path}: the name {name!a} of a category is not UTF-8") from None


def _areas(annotations: list[dict[str, Any]]) -> bool:
    with_area = [pair for entry in annotations if not entry.get("segmentation") and (pair := box_and_area(entry))]
    fitting = [area_of(w, h, area) or area_of(w - x, h - y, area) for (x, y, w, h), area in with_area]
    return bool(with_area) and sum(fitting) >= 0.9 * len(with_area)


def box_and_area(entry: dict[str, Any]) -> tuple[tuple[float, float, float, float], float] | None:
    """An annotation's bbox and area as written, or None where one of them is not made of numbers."""
    box, area = entry.get("bbox"), entry.get("area")
    if not isinstance(box, list) or len(box) != 4:
        return None
    try:
        x, y, w, h, size = (number(value, "") for value in (*box, area))
    except ValueError:
        return None
    return (x, y, w, h), size


def _fields(entry: dict[str, Any]) -> list[tuple[str, Any]]:
    """An annotation's own fields and its attributes, with names in small letters. Attributes are an object, or a list
    of {name, value}."""
    attributes = entry.get("attributes")
    if isinstance(attributes, list):
        attributes = {str(one.get("name")): one.get("value") for one in attributes if isinstance(one, dict)}
    both = [*entry.items(), *(attributes.items() if isinstance(attributes, dict) else ())]
    return [(key.lower(), value) for key, value in both]


def marks(entry: dict[str, Any], what: str) -> tuple[bool, bool]:
    """(whether an annotation is a crowd, whether it is difficult); ValueError for a mark that is not understood or that
    contradicts another of its name."""
    difficult = {name: {flag(v, f"{what}: {key}") for key, v in _fields(entry) if key == name} for name in DIFFICULT}
    if twice := [name for name, values in difficult.items() if len(values) > 1]:
        raise ValueError(f"{what}: {twice[0]} is 0 in one place and 1 in another")
    return flag(entry.get("iscrowd"), f"{what}: iscrowd"), {True} in difficult.values()


def rotation(entry: dict[str, Any]) -> str | None:
    """What says that an annotation's box is turned: a field or attribute with another angle than 0 or 180; or None."""
    for key, value in _fields(entry):
        if key not in TURNED or value in (None, False, "", [], {}):
            continue
        try:
            upright = value is not True and number(value, key) % 180 == 0
        except ValueError:
            upright = isinstance(value, str) and value.strip().lower() != "true"  # a word is no angle
        if not upright:
            return f"{key} {shown(value)}"
    return None
