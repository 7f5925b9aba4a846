"""How many masked pictures pass the network at once, where nobody says it."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from baselines.contract import Classifier
from baselines.refusals import at_least_one

# Bytes of the largest activation of a pass on a CPU. What lies beyond the processor's caches is fetched again by every
# layer. results/tables/gpnncam.md has the measurement.
ROOM = 28 * 2**20


class Passes:
    """Passes pictures through a classifier's network in parts.

    batch: pictures at once. None, on a CPU: the first picture passes alone, and the largest activation of the first one
    of its size says how many follow at once, `most` at most. So equal calls have equal passes. None, on a card: `most`.
    """

    def __init__(self, classifier: Classifier, batch: int | None, most: int):
        self.classifier, self.most = classifier, most
        self.batch = batch if batch is None else at_least_one(batch)
        self.fitting: dict[tuple[int, ...], int] = {}

    def parts(self, rows: Tensor, pixels: Tensor) -> Iterator[Tensor]:
        """rows (N,) in parts that pass together as pictures of the size of pixels (...,h,w)."""
        size = tuple(pixels.shape[-2:])
        measured = self.batch is None and pixels.device.type == "cpu"
        start = 0
        while start < len(rows):
            count = (self.fitting.get(size, 1) if start else 1) if measured else self.batch or self.most
            yield rows[start : start + count]
            start += count

    def at_once(self, pixels: Tensor) -> int:
        """How many pictures like pixels (1,3,h,w) pass together; a pass that finds it out is counted nowhere."""
        if self.batch is None and pixels.device.type == "cpu":
            seen = self.classifier.images_seen
            if tuple(pixels.shape[-2:]) not in self.fitting:
                self(pixels)
            self.classifier.images_seen = seen
            return self.fitting[tuple(pixels.shape[-2:])]
        return self.batch or self.most

    def __call__(self, pictures: Tensor) -> Tensor:
        """The network's output for normalised pictures (B,3,h,w)."""
        size = tuple(pictures.shape[-2:])
        if self.batch is not None or pictures.device.type != "cpu" or size in self.fitting:  # nothing to measure
            return self.classifier.network(pictures)
        largest = 1

        def see(_module: nn.Module, _inputs: object, output: object) -> None:
            nonlocal largest
            if isinstance(output, Tensor) and output.dim() > 1 and len(output):
                largest = max(largest, output.numel() * output.element_size() // len(output))

        modules = (each for each in self.classifier.network.modules() if not isinstance(each, torch.jit.ScriptModule))
        handles = [each.register_forward_hook(see) for each in modules]
        try:
            output = self.classifier.network(pictures)
        finally:
            for handle in handles:
                handle.remove()
        self.fitting[size] = max(1, min(self.most, ROOM // largest))
        return output


class Batched:
    """What a method with `passes` shows of them: `batch`, which a runner lowers that is out of a card's memory."""

    passes: Passes

    @property
    def batch(self) -> int:
        """Pictures per forward pass, at most."""
        return self.passes.batch or self.passes.most

    @batch.setter
    def batch(self, count: int) -> None:
        self.passes.batch = count
