"""A few (picture, class) pairs through several methods, drawn side by side."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from eval.asking import ask, seed_for
from eval.classifier import Classifier
from eval.drawing import Cell, Row, draw
from eval.pointing import observe, upscale
from eval.protocol import Protocol
from eval.runner import Plan
from eval.sample import Pair, Sample


def choose(planned: Plan, count: int, limit: int | None = None) -> list[tuple[Sample, Pair]]:
    """`count` pairs spread evenly over the pictures, difficult ones first: an easy pair shows little."""
    entries = [entry for entry in planned.entries if limit is None or entry[0] < limit]
    entries = [entry for entry in entries if any(pair.difficult for pair in entry[2])] or entries
    chosen = [entries[i] for i in np.unique(np.linspace(0, len(entries) - 1, count).round().astype(int))]
    return [(sample, max(asked, key=lambda pair: pair.difficult)) for _, sample, asked in chosen]


def showcase(
    pairs: Sequence[tuple[Sample, Pair]],
    methods: Mapping[str, tuple[Callable, bool]],
    classifier: Classifier | None,
    protocol: Protocol,
    classes: Sequence[str],
    seed: int,
    path: Path,
) -> None:
    """Draw a PNG: a row per pair, a column per method.

    methods: {label: (method, blind)}; the maps are those of a run with the same seed. classifier: None if all are
    blind.
    """
    rows = []
    for sample, pair in pairs:
        image = sample.image
        pixels = None if classifier is None else protocol.input.pixels(image).to(classifier.device)
        region = sample.region(pair.label)
        cells = []
        for method, blind in methods.values():
            targets = torch.tensor([pair.label])
            answer = ask(method, sample if blind else pixels, targets, seed_for(seed, sample.key))
            (fields,) = observe(answer, sample.size, [region])
            heat = upscale(answer, sample.size)[0] if answer.dim() == 3 else None
            cells.append(Cell(heat, (fields["x"], fields["y"]), protocol.counts(fields)))
        boxes = sample.boxes[sample.labels == pair.label]
        rows.append(Row(f"{sample.key}: {classes[pair.label]}", np.asarray(image), boxes, cells))
    draw(rows, list(methods), path)
