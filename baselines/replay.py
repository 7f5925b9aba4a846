"""What a network computes before one of its layers, computed once and handed out again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def finished_before(network: nn.Module, layer: nn.Module, run: Callable[[], Tensor]) -> dict[nn.Module, Tensor]:
    """What the modules return that finish before `layer` does in `run()`, the layer among them, for each the outermost.

    Left out, and so computed anew: a module that runs more than once, and one that returns anything but a tensor.
    Empty where the layer runs twice, and where `run()` returns something else once these are replayed: a module did
    more than return (it wrote into its input).
    """
    outputs: dict[nn.Module, Tensor] = {}
    runs: dict[nn.Module, int] = {}
    reached = 0

    def watch(module: nn.Module, _inputs: tuple, output: object) -> None:
        nonlocal reached
        runs[module] = runs.get(module, 0) + 1
        if reached == 0 and isinstance(output, Tensor):
            for inner in module.modules():
                outputs.pop(inner, None)
            outputs[module] = output.detach().clone()  # the network may go on in place
        reached += module is layer

    handles = [module.register_forward_hook(watch) for module in network.modules() if module is not network]
    try:
        whole = run()
    finally:
        for handle in handles:
            handle.remove()
    known = {module: output for module, output in outputs.items() if runs[module] == 1} if reached == 1 else {}
    with replayed(known):
        again = run()
    return known if torch.allclose(again, whole, rtol=1e-4, atol=float(1e-4 * whole.abs().max())) else {}


@contextmanager
def replayed(outputs: dict[nn.Module, Tensor]) -> Iterator[None]:
    """Within the block the modules return copies of these outputs instead of computing; their hooks still run."""
    before = {module: vars(module).get("forward") for module in outputs}
    try:
        for module, output in outputs.items():
            module.forward = lambda *_, output=output, **__: output.clone()  # type: ignore[method-assign]
        yield
    finally:
        for module, forward in before.items():
            if forward is None:
                vars(module).pop("forward", None)
            else:
                module.forward = forward  # type: ignore[method-assign]
