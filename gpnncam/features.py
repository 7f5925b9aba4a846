"""Activations of named layers, and gradients of the network's head alone, out of one forward pass."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gpnncam.contracts import Classifier

REPEATED = ("refuse", "last")


def layers_of(
    classifier: Classifier, layers: Sequence[str] | None, depth: int | None
) -> tuple[dict[str, nn.Module], dict[str, Callable[[Tensor], Tensor]]]:
    """({name: module}, {name: reader}) of the layers to read, deep to shallow; None: the classifier's own. A classifier
    without `reader` has layers that return maps (B,C,h,w) themselves. ValueError where the choice cannot be meant."""
    names = list(classifier.layers.get("gpnncam", ())) if layers is None else list(layers)
    if not names:
        raise ValueError("no layers given: the model names none for 'gpnncam', set method.build.layers")
    if len(set(names)) < len(names):
        raise ValueError(f"a layer is named twice in {', '.join(names)}")
    if depth is not None and not 1 <= depth <= len(names):
        raise ValueError(f"depth is {depth}, but there are {len(names)} layers: {', '.join(names)}")
    modules = {name: classifier.module(name) for name in names[:depth]}
    return modules, {name: classifier.reader(name) for name in modules} if hasattr(classifier, "reader") else {}


def full(values: Tensor) -> Tensor:
    """float32 of what a network in half precision computes: eight bits of a map would leave cells as high as others."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class Features:
    """What the latest forward pass left behind: `layers[name]` is (B,C,h,w), `leaf` what the first layer returned.

    The network continues from `leaf`, which requires gradients: whatever is computed from its output can be
    differentiated with respect to `leaf` at the price of the layers behind it.
    """

    def __init__(self, names: list[str]):
        self.names = names
        self.layers: dict[str, Tensor] = {}
        self.leaf: Tensor | None = None

    def clear(self) -> None:
        """Forget the latest pass; call it before each new one."""
        self.layers, self.leaf = {}, None

    def check(self) -> None:
        """ValueError naming a layer that the latest forward pass did not run."""
        for name in self.names:
            if name not in self.layers:
                raise ValueError(f"layer {name!r} takes no part in the network's forward pass")


@contextmanager
def features(
    layers: Mapping[str, nn.Module],
    readers: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    repeated: str = "refuse",
    keep: Callable[[str, Tensor], Tensor] | None = None,
) -> Iterator[Features]:
    """Watch the modules `layers` (name -> module) while the block runs; the first one also becomes the leaf.

    Parameters are frozen, so autograd records nothing until the hook on the first layer hands the network a tensor
    that requires gradients: a pass costs what it costs under no_grad, plus the head. The order in which the network
    runs the layers does not matter. repeated: "last" reads the last run of a layer that runs more than once in a pass
    (a shared activation); "refuse" raises ValueError inside the block, as does a layer that returns anything but
    feature maps (B,C,h,w) and has no reader. readers: what makes maps of other outputs. keep(name, maps): copies maps
    that the network may overwrite to where they are wanted, and returns the copy; by default it clones. All hooks are
    gone afterwards, whatever happened.
    """
    seen = Features(list(layers))
    first = seen.names[0]

    def watch(name: str) -> Callable:
        def hook(_module: nn.Module, _inputs: object, output: object) -> Tensor | None:
            read = readers.get(name) if readers else None
            if not isinstance(output, Tensor) or (read is None and output.dim() != 4):
                got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise ValueError(f"layer {name!r} returns {got}, not feature maps (B,C,h,w)")
            if name in seen.layers and repeated == "refuse":
                raise ValueError(
                    f"layer {name!r} runs more than once in a forward pass, so its output is not one map; "
                    'repeated="last" reads its last run'
                )
            # What is kept survives a network that goes on in place (`out += identity` behind a batch norm).
            maps = full(output.detach() if read is None else read(output.detach()))
            seen.layers[name] = maps.clone() if keep is None else keep(name, maps)
            if name != first:
                return None
            seen.leaf = output.detach().clone().requires_grad_()
            return seen.leaf.clone()

        return hook

    handles = []
    try:
        for name, module in layers.items():
            handles.append(module.register_forward_hook(watch(name)))
        with torch.enable_grad():
            yield seen
    finally:
        for handle in handles:
            handle.remove()
        seen.clear()
