"""What the network says about many pictures, in batches that fill the processor."""

from collections.abc import Iterable
from itertools import chain, islice

import torch
from torch import Tensor

from eval.networks.classifier import Classifier


def outputs(classifier: Classifier, pictures: Iterable[Tensor], batch: int | None) -> Tensor:
    """Pictures (3,h,w) RGB of one size, as an iterable that need never hold all of them -> outputs (N,C) or (N,C,i,j)
    float64 on the CPU; `batch` pictures a forward pass, None: as many as `Classifier.at_once` says."""
    if batch is not None and batch < 1:
        raise ValueError(f"batch is {batch}; at least one picture must pass at a time")
    answers, stream = [], iter(pictures)
    first = next(stream)
    count, stream = batch or classifier.at_once(first), chain([first], stream)
    with torch.no_grad():
        while group := list(islice(stream, count)):
            answers.append(classifier.network(classifier.normalise(torch.stack(group))).double().cpu())
    answer = torch.cat(answers)
    if not torch.isfinite(answer).all():
        raise ValueError("the network's output for a changed picture is not finite")
    return answer


def plain(values: Tensor) -> list[float]:
    """A row's numbers: eight significant digits are more than two forward passes of a picture agree in."""
    return [float(f"{value:.8g}") for value in values.tolist()]
