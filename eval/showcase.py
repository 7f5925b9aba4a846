"""A few (picture, class) pairs through several methods, drawn side by side."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from eval.asking import ask, seed_for
from eval.classifier import Classifier
from eval.drawing import Cell, Row, draw
from eval.pointing import observe, upscale
from eval.protocol import Input, Protocol
from eval.runner import Plan
from eval.sample import Pair, Sample
from eval.smoothing import NONE, Smoothing


def choose(planned: Plan, count: int, limit: int | None = None) -> list[tuple[Sample, Pair]]:
    """`count` pairs spread evenly over the pictures, difficult ones first: an easy pair shows little."""
    entries = [entry for entry in planned.entries if limit is None or entry[0] < limit]
    entries = [entry for entry in entries if any(pair.difficult for pair in entry[2])] or entries
    chosen = [entries[i] for i in np.unique(np.linspace(0, len(entries) - 1, count).round().astype(int))]
    return [(sample, max(asked, key=lambda pair: pair.difficult)) for _, sample, asked in chosen]


@dataclass(frozen=True)
class Shown:
    """A method, what it sees of a picture (None: the sample itself), and the smoothing of its maps."""

    method: Callable
    source: Input | None
    smoothing: Smoothing = NONE


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

    The maps are those of a run with the same seed. classifier: None if all are blind.
    """
    rows = []
    for sample, pair in pairs:
        image = sample.image
        region = sample.region(pair.label)
        cells = []
        for shown in methods.values():
            targets = torch.tensor([pair.label])
            given = sample if shown.source is None else shown.source.pixels(image).to(classifier.device)
            answer = ask(shown.method, given, targets, seed_for(seed, sample.key))
            (fields,) = observe(answer, sample.size, [region], shown.smoothing)
            heat = upscale(answer, sample.size, shown.smoothing)[0] if answer.dim() == 3 else None
            cells.append(Cell(heat, (fields["x"], fields["y"]), protocol.counts(fields)))
        boxes = sample.boxes[sample.labels == pair.label]
        rows.append(Row(f"{sample.key}: {classes[pair.label]}", np.asarray(image), boxes, cells))
    draw(rows, list(methods), path)
