"""What every layer of a network returns for a grey picture: its shapes, from one forward pass."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Observed:
    """returned: for each module, in the order in which they finish, the shape of its latest output, or its type's name
    where it is no tensor. size: (H,W) of the picture. error: what ended the pass early, None: nothing. repeated: the
    modules that ran more than once."""

    returned: dict[str, tuple[int, ...] | str]
    size: tuple[int, int]
    error: str | None = None
    repeated: frozenset[str] = frozenset()


def observed(network: nn.Module, pixels: Tensor) -> Observed:
    """One forward pass of pixels (1,3,H,W), no gradients; a pass that fails halfway has shown the layers before it."""
    returned: dict[str, tuple[int, ...] | str] = {}
    repeated: set[str] = set()

    def watch(name: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if returned.pop(name, None) is not None:
                repeated.add(name)
            returned[name] = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__

        return hook

    handles, error = [], None
    try:
        for name, module in network.named_modules():
            if name and not isinstance(module, torch.jit.ScriptModule):  # TorchScript calls no hooks
                handles.append(module.register_forward_hook(watch(name)))
        with torch.no_grad():
            network(pixels)
    except Exception as problem:
        error = str(problem).strip().partition("\n")[0] or type(problem).__name__
    finally:
        for handle in handles:
            handle.remove()
    return Observed(returned, (pixels.shape[2], pixels.shape[3]), error, frozenset(repeated))
