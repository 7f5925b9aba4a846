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
    if not names or len(set(names)) < len(names):
        raise ValueError(f"GPNN-CAM needs one or more different layers, deep to shallow; given are {names}")
    if depth is not None and not 1 <= depth <= len(names):
        raise ValueError(f"depth is {depth}, but there are {len(names)} layers: {', '.join(names)}")
    modules = {name: classifier.module(name) for name in names[:depth]}
    return modules, {name: classifier.reader(name) for name in modules} if hasattr(classifier, "reader") else {}


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
        """RuntimeError naming a layer that the latest forward pass did not run."""
        for name in self.names:
            if name not in self.layers:
                raise RuntimeError(f"the forward pass never ran layer {name!r}: no activations to read there")


@contextmanager
def features(
    layers: Mapping[str, nn.Module],
    readers: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    repeated: str = "refuse",
) -> Iterator[Features]:
    """Watch the modules `layers` (name -> module) while the block runs; the first one also becomes the leaf.

    Parameters are frozen, so autograd records nothing until the hook on the first layer hands the network a tensor
    that requires gradients: a pass costs what it costs under no_grad, plus the head. The order in which the network
    runs the layers does not matter. repeated: "last" reads the last run of a layer that runs more than once in a pass
    (a shared activation); "refuse" raises RuntimeError inside the block, as does a layer that returns anything but
    feature maps (B,C,h,w) and has no reader. readers: what makes maps of other outputs. All hooks
    are gone afterwards, whatever happened.
    """
    seen = Features(list(layers))
    first = seen.names[0]

    def watch(name: str):
        def hook(_module, _inputs, output):
            read = readers.get(name) if readers else None
            if not isinstance(output, Tensor) or (read is None and output.dim() != 4):
                found = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
                raise RuntimeError(f"layer {name!r} returns {found}; feature maps (batch, channels, h, w) are needed")
            if name in seen.layers and repeated == "refuse":
                raise RuntimeError(
                    f"layer {name!r} runs more than once in a forward pass: name one that runs once, "
                    'or read its last run (repeated="last")'
                )
            # The copy survives a network that goes on in place (`out += identity` behind a batch norm).
            copy = output.detach().clone()
            seen.layers[name] = copy if read is None else read(copy)
            if name != first:
                return None
            seen.leaf = copy.requires_grad_()
            seen.layers[name] = seen.layers[name].detach()
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
