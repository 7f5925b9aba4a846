"""`scripts.explain`: scores a photograph, calls the methods, draws and writes."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image, ImageOps
from torch import Tensor

from eval.datasets.demo import Demo
from eval.datasets.pictures import Picture
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
from eval.running.settings import require
from scripts.explain.network import classifier_of, meaning, names_in, settings_of

# Pixels of the longer side in the figure; of a larger photograph the highest point is read on this grid too, as a map
# in double precision of fifty million pixels would take gigabytes.
SHOWN = 1200


SETTING = re.compile(r"[+~]{0,2}[A-Za-z_][\w.@/]*=")


def explain_photograph(arguments: argparse.Namespace) -> None:
    """Draw the figure and write the numbers of `python -m scripts.explain`; ValueError says what cannot be meant."""
    photos = [text for text in arguments.given if "=" not in text or Path(text).exists()]
    settings = [text for text in arguments.given if text not in photos]
    for option in ("method", "layers", "classes_asked"):  # an option of many words takes the settings behind it too
        words = getattr(arguments, option) or []
        settings += [word for word in words if SETTING.match(word)]
        if words:
            setattr(arguments, option, [word for word in words if not SETTING.match(word)])
    if len(photos) > 1:
        raise ValueError(f"one photograph at a time, not {len(photos)}")
    with contextlib.redirect_stdout(sys.stderr) if arguments.json == "-" else contextlib.nullcontext():
        answer, figure = _explained(arguments, photos[0] if photos else None, settings)
        print(figure)
    if arguments.json == "-":
        print(json.dumps(answer))
    elif arguments.json:
        Path(arguments.json).write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
        print(arguments.json)


def _explained(arguments: argparse.Namespace, photo: str | None, settings: list[str]) -> tuple[dict, Path]:
    sample = photograph(Path(photo)) if photo else scene(arguments.scene)
    model = settings_of(arguments.model, arguments.layers, arguments.mean, arguments.std)
    base = [f"dataset={'imagenet' if photo else 'demo'}", *model, *settings]
    methods = {name: method_config(name, base) for name in arguments.method}
    cfg = load(base)
    require(cfg, ("model",))
    classifier = classifier_of(cfg, names_in(arguments.classes))
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
    figure = arguments.out or Path(f"{Path(sample.key).stem}-explained.png")
    draw(rows, [str(each.get("label") or each.name) for each in methods.values()], figure)
    report = {"picture": photo or sample.key, "size": list(sample.size), "model": arguments.model, "classes": classes}
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
            full = upscale(one, shown.size)
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


def photograph(path: Path) -> Sample:
    """A picture file without annotations, upright as its EXIF orientation says: a photograph as one sees it."""
    path = path.expanduser()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name one of its pictures")
    if not path.is_file():
        raise FileNotFoundError(f"there is no picture {path}")
    image = ImageOps.exif_transpose(Picture(path.resolve().parent, path.resolve().name)())
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
