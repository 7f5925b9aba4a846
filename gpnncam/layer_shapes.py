"""What every layer of a network returns for a picture: its shapes, from one forward pass."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Observed:
    """What one forward pass showed.

    Attributes:
        returned: for each module, in the order in which they finish, the shape of its latest output, or its type's
            name where it is no tensor.
        size: (H,W) of the picture.
        error: what ended the pass early; None: nothing.
        runs: how often each module ran.
        outputs: how many classes the network answers about; None: its output is no (B,C) or (B,C,i,j).
    """

    returned: dict[str, tuple[int, ...] | str]
    size: tuple[int, int]
    error: str | None = None
    runs: Mapping[str, int] = field(default_factory=dict)
    outputs: int | None = None

    @property
    def repeated(self) -> set[str]:
        """The modules that ran more than once: what they return is no one map."""
        return {name for name, count in self.runs.items() if count > 1}


def observed(network: nn.Module, pixels: Tensor) -> Observed:
    """One forward pass of pixels (1,3,H,W), no gradients; a pass that fails halfway has shown the layers before it."""
    returned: dict[str, tuple[int, ...] | str] = {}
    runs: dict[str, int] = {}

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            returned.pop(name, None)  # its place is that of its latest run
            runs[name] = runs.get(name, 0) + 1
            returned[name] = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__

        return hook

    handles, error, outputs = [], None, None
    try:
        for name, module in network.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):  # TorchScript calls no hooks
                handles.append(module.register_forward_hook(watch(name)))
        with torch.no_grad():
            answer = network(pixels)
        outputs = answer.shape[1] if isinstance(answer, Tensor) and answer.dim() in (2, 4) else None
    except Exception as problem:
        error = str(problem).strip().partition("\n")[0] or type(problem).__name__
    finally:
        for handle in handles:
            handle.remove()
    return Observed(returned, (pixels.shape[2], pixels.shape[3]), error, runs, outputs)


def outputs_of(network: nn.Module, layer: nn.Module, pictures: list[Tensor]) -> list[Tensor]:
    """What a layer returns for each picture (1,3,H,W), by passes of their own."""
    seen: list[Tensor] = []
    handle = layer.register_forward_hook(lambda _module, _inputs, output: seen.append(output.detach().clone()))
    try:
        with torch.no_grad():
            for picture in pictures:
                network(picture)
    finally:
        handle.remove()
    return seen
