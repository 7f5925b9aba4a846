"""How many pictures pass the network at once, where nobody says it: as many as one activation has room for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

# What lies beyond the processor's caches is fetched again by every layer, and the C library maps large blocks anew for
# each, unless it is told to keep them. results/tables/gpnncam.md has the measurement.
ROOM = 28 * 2**20
LEAST = 4  # however large: a head of many weights (VGG16's) is read once a pass, and once more for its gradient
MOST = 11  # 20 variations and the picture in two passes


class Largest:
    """bytes: of the largest output of a module so far, for each picture of the pass."""

    def __init__(self) -> None:
        self.bytes = 0

    def see(self, _module: nn.Module, _inputs: object, output: object) -> None:
        """A forward hook."""
        if isinstance(output, Tensor) and output.dim() > 1 and len(output):
            self.bytes = max(self.bytes, output.numel() * output.element_size() // len(output))


@contextmanager
def largest(network: Callable[[Tensor], Tensor]) -> Iterator[Largest]:
    """Watch the passes of the block. A network that is no module, or is TorchScript, shows nothing."""
    seen = Largest()
    modules = network.modules() if isinstance(network, nn.Module) else ()
    handles = [each.register_forward_hook(seen.see) for each in modules if not isinstance(each, torch.jit.ScriptModule)]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


class Passes:
    """Passes pictures through a network, `batch` at a time.

    batch None, on a CPU: the first picture passes alone, and the largest activation of the first one of its size says
    how many follow at once, from `least` to `most`. So equal calls have equal passes. On a card: `most`.
    """

    def __init__(
        self, network: Callable[[Tensor], Tensor], batch: int | None = None, most: int = MOST, least: int = LEAST
    ):
        if batch is not None and batch < 1:
            raise ValueError(f"batch is {batch}; at least one picture must pass at a time")
        self.network, self.batch, self.most, self.least = network, batch, most, least
        self.fitting: dict[tuple[int, ...], int] = {}

    def rows(self, pixels: Tensor, count: int | None = None) -> Iterator[slice]:
        """The rows of pixels (N,3,h,w), or of `count` pictures like (...,h,w), that pass together; those after
        the first are known once it has passed."""
        count, begin = len(pixels) if count is None else count, 0
        if self._measured(pixels):
            yield slice(0, 1)
            begin, step = 1, self.fitting.get(tuple(pixels.shape[-2:]), 1)
        else:
            step = self.batch or self.most
        for start in range(begin, count, step):
            yield slice(start, min(start + step, count))

    def at_once(self, pixels: Tensor) -> int:
        """How many pictures like pixels (1,3,h,w) pass together."""
        if not self._measured(pixels):
            return self.batch or self.most
        size = tuple(pixels.shape[2:])
        if size not in self.fitting:
            with torch.no_grad():
                self(pixels)
        return self.fitting[size]

    def _measured(self, pixels: Tensor) -> bool:
        return self.batch is None and pixels.device.type == "cpu"

    def __call__(self, pixels: Tensor) -> Tensor:
        """The network's output for pixels (B,3,h,w)."""
        size = tuple(pixels.shape[2:])
        if not self._measured(pixels) or size in self.fitting:
            return self.network(pixels)
        with largest(self.network) as seen:
            output = self.network(pixels)
        self.fitting[size] = min(self.most, max(self.least, ROOM // seen.bytes)) if seen.bytes else self.most
        return output
