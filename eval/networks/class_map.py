"""Which outputs of a network stand for a class of the data set, so that a network scores another data set's classes.

Built in, made from WordNet (classmaps/meanings.yaml says how, and which entries are loose): `voc_to_imagenet` and
`coco_to_imagenet`. `imagenet` is the one of them that knows the data set's classes; a class that neither knows may be
one of ImageNet's own, by torchvision's name or by its synset id.
"""

import difflib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eval.files.parsed import read_json, read_yaml, shown
from eval.files.places import near

FOLDER = Path(__file__).parent / "classmaps"
MAX_FILE = 16 * 2**20


def outputs(classes: Sequence[str], class_map: str | Path | None, n_outputs: int | None = None) -> list[list[int]]:
    """For each class, the indices of the network's outputs that stand for it; [] for a class without any.

    class_map: None: output i is class i. "imagenet", "voc_to_imagenet", "coco_to_imagenet": built in. Else a JSON or
    YAML file {class name: output index, list of indices, or {"outputs": [...]}}; no output fits a class whose list is
    empty or that is not there (but an entry that is nearly the name of such a class is an error).
    n_outputs: how many outputs the network has, None: not known, not checked.
    ValueError names the class, index or setting that does not fit.
    """
    if class_map is None:
        if n_outputs not in (None, len(classes)):
            raise ValueError(
                f"the network has {n_outputs} outputs, the data set {len(classes)} classes; set model.class_map=FILE "
                f"(class name: list of outputs), or model.class_map=imagenet for an ImageNet network on VOC or COCO"
            )
        return [[index] for index in range(len(classes))]
    origin, entries = _entries(classes, class_map)
    more = [name for name in entries if name not in classes]
    for name in classes:
        if name not in entries and (near := difflib.get_close_matches(name, more, n=1, cutoff=0.75)):
            raise ValueError(
                f"{origin} does not say what stands for {name!r}, but has {near[0]!r}, which is no class of the data "
                f"set; if nothing stands for {name!r}, say so: []"
            )
    indices = [_indices(entries.get(name, []), n_outputs, f"{origin}, class {name!r}") for name in classes]
    if not any(indices):
        raise ValueError(f"{origin}: no class of the data set has an output")
    return indices


def imagenet_classes() -> dict[str, str]:
    """Synset id -> torchvision's name of the 1000 classes of ILSVRC2012, in the order of torchvision's outputs."""
    return json.loads((FOLDER / "imagenet_synsets.json").read_text("utf-8"))


def _entries(classes: Sequence[str], class_map: str | Path) -> tuple[str, dict]:
    builtin = {path.stem: path for path in sorted(FOLDER.glob("*_to_imagenet.json"))}
    if str(class_map) in builtin:
        return f"class map {class_map}", _read(builtin[str(class_map)])
    if str(class_map) != "imagenet":
        path = Path(class_map).expanduser()
        if not path.is_file():
            raise FileNotFoundError(
                f"model.class_map: there is no file {path.absolute()}; built in are imagenet, {', '.join(builtin)}"
            )
        return f"class map {path}", _read(path)
    return _imagenet(classes, {name: _read(path) for name, path in builtin.items()})


def _imagenet(classes: Sequence[str], maps: dict[str, dict]) -> tuple[str, dict]:
    fitting = {name: entries for name, entries in maps.items() if set(classes) <= set(entries)}
    meanings = [[entries[name]["outputs"] for name in classes] for entries in fitting.values()]
    if any(meaning != meanings[0] for meaning in meanings):
        raise ValueError(f"model.class_map=imagenet is ambiguous for these classes; choose one of {', '.join(fitting)}")
    if fitting:
        return "class map " + next(iter(fitting)), next(iter(fitting.values()))
    own = imagenet_classes()
    known = {word: [index] for index, pair in enumerate(own.items()) for word in pair}
    # ImageNet's own entry where all classes are ImageNet's; else another vocabulary's, whose words are wider.
    order = (known,) if set(classes) <= set(known) else (*maps.values(), known)
    entries, strange = {}, []
    for name in classes:
        entries_of = [each[name] for each in order if name in each]
        meanings = [entry["outputs"] for entry in entries_of if isinstance(entry, dict)]
        if any(meaning != meanings[0] for meaning in meanings):
            raise ValueError(f"model.class_map=imagenet: {name!r} means something else in {' and in '.join(maps)}")
        if entries_of:
            entries[name] = entries_of[0]
        else:
            strange.append(name)
    if strange:
        vocabulary = {word for entry in (*maps.values(), known) for word in entry}
        listed = "; ".join(f"{name!r} (near names: {near(name, vocabulary)})" for name in strange[:5])
        raise ValueError(
            f"model.class_map=imagenet knows the classes of VOC, of COCO and of ImageNet, not {listed}; write your own "
            "map: model.class_map=FILE"
        )
    return "class map imagenet", entries


def _read(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MAX_FILE:
        raise ValueError(f"{path} is larger than {MAX_FILE >> 20} MiB: no class map")
    entries = read_json(path) if path.suffix.lower() == ".json" else read_yaml(path)
    if not isinstance(entries, dict):
        raise ValueError(f"{path} must map class names to outputs")
    return entries


def _indices(entry: Any, n_outputs: int | None, what: str) -> list[int]:
    if isinstance(entry, dict):
        entry = entry.get("outputs")
    given = [entry] if type(entry) is int else entry
    if not isinstance(given, list) or not all(type(i) is int for i in given):
        raise ValueError(f"{what}: {shown(entry)} is no list of output indices")
    strange = [i for i in given if i < 0 or (n_outputs is not None and i >= n_outputs)]
    if strange:
        there = f"the network has {n_outputs} outputs" if n_outputs is not None else "outputs count from 0"
        raise ValueError(f"{what}: output {shown(strange[0])}, but {there}")
    if len(set(given)) != len(given):
        raise ValueError(f"{what}: an output is listed twice")
    return given
