"""Activations of named layers, and gradients of class scores with respect to them, at the price of the head alone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from baselines.contract import Classifier
from gpnncam.features import full


def layer_names(classifier: Classifier, layers: Sequence[str] | str | None, use: str, *otherwise: str) -> list[str]:
    """The layers a method reads: its own argument, else what the model's config names for `use` or for `otherwise`.

    Raises ValueError when neither says anything, when the network has no such layer, or when what the layer returns
    cannot be read as maps.
    """
    if layers is None:
        layers = next((classifier.layers[each] for each in (use, *otherwise) if classifier.layers.get(each)), None)
    names = [layers] if isinstance(layers, str) else list(layers or ())
    if not names:
        raise ValueError(f"no layers given: the model names none for {use!r}, set method.build.layers")
    if len(set(names)) < len(names):
        raise ValueError(f"a layer is named twice in {', '.join(names)}")
    for name in names:
        classifier.reader(name)
    return names


class Taps:
    """The outputs of tapped layers. `taps[name]`: as maps (B,C,h,w), a view; `taps.leaf(name)`: in the network's own
    layout, what gradients are taken for; `taps.maps(name, gradient)`: such a gradient as maps."""

    def __init__(self, readers: Mapping[str, Callable[[Tensor], Tensor]]):
        self.readers = readers
        self.outputs: dict[str, Tensor] = {}

    def __contains__(self, name: object) -> bool:
        return name in self.outputs

    def __getitem__(self, name: str) -> Tensor:
        return full(self.maps(name, self.outputs[name]))

    def leaf(self, name: str) -> Tensor:
        """The output as the network made it."""
        return self.outputs[name]

    def maps(self, name: str, values: Tensor) -> Tensor:
        """Values of the layer's layout as maps (B,C,h,w)."""
        return self.readers[name](values)


@contextmanager
def tapped(classifier: Classifier, names: Sequence[str], gradients: bool = True) -> Iterator[Taps]:
    """Within the block each forward pass leaves the layers' outputs in the yielded `Taps`.

    The network is frozen, so autograd records nothing before the first tapped layer, whose output becomes a leaf here:
    a backward pass differentiates the head only. The network goes on with a copy, so that an addition in place (as in
    the residual blocks of torchvision) cannot overwrite what was tapped. Hooks are gone when the block is left.
    Raises ValueError naming a layer whose output is no map, and one that runs twice in a forward pass.
    """
    taps = Taps({name: classifier.reader(name) for name in names})

    def hook_for(name: str) -> Callable:
        def hook(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor | None:
            if name in taps:
                raise ValueError(f"layer {name!r} runs more than once in a forward pass, so its output is not one map")
            if not gradients:
                taps.outputs[name] = output.detach().clone()
                return None
            taps.outputs[name] = output if output.requires_grad else output.detach().requires_grad_()
            return taps.outputs[name].clone()

        return hook

    handles = []
    try:
        for name in names:
            handles.append(classifier.module(name).register_forward_hook(hook_for(name)))
        yield taps
    finally:
        for handle in handles:
            handle.remove()


def check_reached(names: Sequence[str], taps: Taps) -> None:
    """ValueError names a layer that the forward pass did not run."""
    missing = [name for name in names if name not in taps]
    if missing:
        raise ValueError(f"layer {missing[0]!r} takes no part in the network's forward pass")


def activations_and_gradients(
    classifier: Classifier, image: Tensor, targets: Tensor, names: Sequence[str]
) -> list[tuple[Tensor, Tensor]]:
    """One forward pass and one backward pass per class, from the score down to the first of the layers.

    image (3,H,W) in [0,1], targets (K,) -> for each layer its activations (1,C,h,w) and gradients (K,C,h,w) of
    `classifier.score`. Each class has a backward pass of its own: its result then does not depend on the others.
    """
    return many_activations_and_gradients(classifier, image[None], [targets], names)[0]


def many_activations_and_gradients(
    classifier: Classifier, images: Tensor, targets: Sequence[Tensor], names: Sequence[str]
) -> list[list[tuple[Tensor, Tensor]]]:
    """The same for images (B,3,H,W) and their targets, B tensors (K,), in one forward pass; K may differ.

    The k-th classes of all pictures share a backward pass: in eval mode no picture's score depends on another picture.
    """
    classes = [each.tolist() for each in targets]
    most = max(map(len, classes))
    with torch.inference_mode(False), torch.enable_grad(), tapped(classifier, names) as taps:
        output = classifier.network(classifier.normalise(images.detach()))
        check_reached(names, taps)
        layers = [taps.leaf(name) for name in names]
        gradients = []
        for k in range(most):
            scores = [
                classifier.score(output[i : i + 1], each[k]).sum() for i, each in enumerate(classes) if k < len(each)
            ]
            gradients.append(torch.autograd.grad(torch.stack(scores).sum(), layers, retain_graph=k + 1 < most))
        activations = [taps[name].detach() for name in names]
        of_class = [
            [full(taps.maps(name, each)) for name, each in zip(names, gradient, strict=True)] for gradient in gradients
        ]
    return [
        [
            (layer[i : i + 1], torch.stack([of_class[k][place][i] for k in range(len(each))]))
            for place, layer in enumerate(activations)
        ]
        for i, each in enumerate(classes)
    ]
