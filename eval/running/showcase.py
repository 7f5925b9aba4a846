"""A few (picture, class) pairs through several methods, drawn side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig

from eval.game.pointing import points_or_maps, upscale
from eval.game.protocol import Input, Protocol
from eval.game.sample import Pair, Sample
from eval.game.smoothing import NONE, Smoothing
from eval.networks.classifier import Classifier
from eval.running.drawing import Cell, Row, draw
from eval.running.job import smoothing_of
from eval.running.method_call import call, seed_for
from eval.running.plan import Plan
from eval.running.settings import plain


def choose(planned: Plan, count: int, limit: int | None = None) -> list[tuple[Sample, Pair]]:
    """`count` pairs spread evenly over the first `limit` pictures, or none where the plan has none of them. Difficult
    ones first: an easy pair shows little."""
    entries = [entry for entry in planned.entries if limit is None or entry[0] < limit]
    entries = [entry for entry in entries if any(pair.difficult for pair in entry[2])] or entries
    if not entries:
        return []
    chosen = [entries[i] for i in np.unique(np.linspace(0, len(entries) - 1, count).round().astype(int))]
    return [(sample, max(todo, key=lambda pair: pair.difficult)) for _, sample, todo in chosen]


@dataclass(frozen=True)
class Shown:
    """A method, what it sees of a picture (None: the sample itself), and the smoothing of its maps."""

    method: Callable
    pixels: Input | None
    smoothing: Smoothing = NONE

    @classmethod
    def of(cls, method: Callable, settings: DictConfig, protocol: Protocol) -> "Shown":
        """A built method as its config and the protocol have it."""
        pixels = None if settings.blind else protocol.input.of_method(plain(settings.get("input")))
        return cls(method, pixels, smoothing_of(settings))


def showcase(
    pairs: Sequence[tuple[Sample, Pair]],
    methods: Mapping[str, Shown],
    classifier: Classifier | None,
    protocol: Protocol,
    classes: Sequence[str],
    seed: int,
    path: Path,
) -> None:
    """Draw a PNG: a row per pair, a column per method.

    methods: by label; the maps are those of a run with the same seed. classifier: None if all are blind.
    """
    rows = []
    for sample, pair in pairs:
        image = sample.image
        region = sample.region(pair.label)
        cells = []
        for shown in methods.values():
            given: Sample | torch.Tensor = sample
            if shown.pixels is not None:
                assert classifier is not None
                given = shown.pixels.pixels(image).to(classifier.device)
            answer = call(shown.method, given, torch.tensor([pair.label]), seed_for(seed, sample.key))
            array = points_or_maps(answer, 1)[0]
            heat = upscale(array, sample.size, shown.smoothing) if array.ndim == 2 else None
            x, y = heat.peak if heat else (float(array[0]), float(array[1]))
            hit = protocol.hits([region.contains(x, y)], [region.distance(x, y)], [bool(heat and heat.constant)])
            cells.append(Cell(heat.values if heat else None, (x, y), bool(hit[0])))
        boxes = sample.boxes[sample.labels == pair.label]
        rows.append(Row(f"{sample.key}: {classes[pair.label]}", np.asarray(image), boxes, cells))
    draw(rows, list(methods), path)
