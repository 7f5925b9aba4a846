"""One statement about another program, and the network and picture that it is about."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn

from eval.game.pointing import upscale
from eval.game.protocol import Input
from eval.measures.map_measures import cases_of
from eval.measures.measure import Case
from eval.networks import demo
from eval.networks.classifier import Classifier
from eval.running.build import build_classifier, build_dataset, build_method
from eval.running.config import load
from eval.running.measuring import build_measures

TARGETS = [2, 7]  # the picture's two classes


class Row(NamedTuple):
    """ours, theirs: the two answers, of one shape. within: their largest difference as a share of theirs' largest
    value, at most; a negative one: the statement is that they are at least so far apart. batches: pictures a pass,
    where both do the same work."""

    statement: str
    ours: Callable[[], Any]
    theirs: Callable[[], Any]
    within: float
    batches: str = "–"


class Scene:
    """What this suite gets: classifier, image (3,H,W), pixels (1,3,H,W) normalised, copies (2,3,H,W) of them. network:
    the same one, not frozen, as a user of another program has it. even: a classifier whose channels are normalised
    alike. batch: pictures a pass of measures. grid: a map (14,14); untied: one (H,W) without equal values."""

    def __init__(self) -> None:
        settings = load(["model=vgg16", "method=gradcam"])
        data = build_dataset(settings)
        self.classifier, self.sample = build_classifier(settings, data.classes), data[1]
        self.even = Classifier(demo.vgg16(), [0.5] * 3, [0.25] * 3, {}, data.classes)
        self.network = demo.vgg16().requires_grad_(True)
        self.image = Input().pixels(self.sample.image)
        self.pixels = self.classifier.normalise(self.image)
        self.copies = self.pixels.expand(len(TARGETS), -1, -1, -1)
        self.batch = self.classifier.at_once(self.image)
        self.side = self.image.shape[-1], self.image.shape[-2]
        draw = np.random.default_rng(0)
        self.grid = draw.normal(size=(14, 14))
        self.untied = draw.permutation(self.image[0].numel()).reshape(self.side[::-1]) / 2.0**16

    def soften(self, activation: type[nn.Module] = nn.Softplus) -> None:
        """Another activation for the last of the features."""
        for network in (self.classifier.network, self.network):
            network.features[29] = activation()
        made = self.classifier
        self.classifier = Classifier(made.network, demo.MEAN, demo.STD, made.layers, made.classes)

    def method(self, words: str, classifier: Classifier | None = None) -> Any:
        """Built as by run.py: its name, then settings."""
        name, *settings = words.split()
        made = load([f"method={name}", *(f"method.build.{each}" for each in settings)])
        return build_method(made.method, classifier or self.classifier, self.classifier.classes)

    def maps(self, words: str, classifier: Classifier | None = None, act: str = "__call__") -> Callable[[], Any]:
        """A call of that method for both targets."""
        built = getattr(self.method(words, classifier), act)
        return lambda: built(self.image, torch.tensor(TARGETS))

    def case(self, grid: np.ndarray | None = None, **changes: Any) -> Case:
        """Of the first target and a map."""
        grid = (self.grid if grid is None else grid).astype(float)
        (case,) = cases_of(grid[None], self.sample.image.size, [self.sample.region(TARGETS[0])])
        return replace(case, **{"image": self.image, "target": TARGETS[0], "classifier": self.classifier} | changes)


def measure(words: str) -> Any:
    """Built as by run.py: its name, then settings."""
    name, *settings = words.split()
    overrides = [f"measure={name}", *(f"measure.{name}.{each}" for each in settings)]
    return build_measures(load(["method=gradcam", *overrides]))[name].measure


def value(measured: Any, case: Case) -> float:
    """The score of a case that has the measure's name."""
    (score,) = (each for each in measured.scores if each.name == measured.name)
    return float(score.value(pd.DataFrame(measured.observe([case])), None)[0])


def ended(maps: Any, side: tuple[int, int]) -> np.ndarray:
    """Maps (K,h,w) as libraries return them: rectified, from 0 to 1, enlarged, from 0 to 1 again."""
    return np.stack([unit(upscale(unit(np.maximum(np.asarray(each, float), 0)), side).values) for each in maps])


def unit(values: np.ndarray) -> np.ndarray:
    """From 0 to 1."""
    return (values - values.min()) / (np.ptp(values) or 1.0)
