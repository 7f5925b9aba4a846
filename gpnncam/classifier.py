"""A plain network as the classifier that GPNN-CAM, and every method of that contract, is built with."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gpnncam.inputs import normalised, statistic
from gpnncam.layers import layers_by_rule
from gpnncam.reading import Reading
from gpnncam.requirements import adapt, examine, frozen

# The statistics of ImageNet, with which torchvision's classifiers are trained.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Wrapped:
    """What `wrap` returns.

    Attributes:
        network, device, side: as `wrap` got them, the network frozen.
        classes: their names; None: not named.
        layers: {use: names of layers, deep to shallow}.
        reading: how each layer is read as maps.
        outputs: class i is column i of the answer.
        images_seen: pictures that passed the network since.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        classes: Sequence[str] | None,
        side: int,
        device: torch.device,
        layouts: Mapping[str, Any] | None = None,
        outputs: str | None = None,
    ):
        self.network = network = frozen(network, device)
        self.device, self.side, self.channels = device, side, len(list(mean))
        self.dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
        self.mean, self.std = (statistic(name, value, device) for name, value in (("mean", mean), ("std", std)))
        self._input = (side, side)
        self.reading = Reading(network, self._grey, side, layouts)
        count = adapt(self, outputs)
        examine(self)
        self.classes = None if classes is None else tuple(classes)
        if self.classes is not None and len(self.classes) != count:
            raise ValueError(f"the network has {count} outputs, but {len(self.classes)} classes are named")
        self.outputs = [[index] for index in range(count)]
        self.layers: dict[str, list[str]] = {}
        self.images_seen = 0
        network.register_forward_pre_hook(self._count)

    def _grey(self, height: int, width: int) -> Tensor:
        return self.normalise(self.mean.expand(1, -1, height, width))

    def _count(self, _module: nn.Module, inputs: tuple) -> None:
        if not self.reading.probing:
            self.images_seen += len(inputs[0])
            self._input = tuple(inputs[0].shape[-2:])

    def module(self, name: str) -> nn.Module:
        """The module of that name in `network.named_modules()`; ValueError with the nearest names."""
        known = dict(self.network.named_modules())
        if not name or name not in known:
            names = ", ".join(difflib.get_close_matches(name, filter(None, known), 5, 0.3)) or "none"
            raise ValueError(f"the network has no layer {name!r}; near names: {names}")
        return known[name]

    def reader(self, name: str) -> Callable[[Tensor], Tensor]:
        """What makes maps (B,C,h,w) of the layer's output, or of a gradient of its shape: maps, channels last or tokens
        (see `gpnncam.layouts`). ValueError where nobody knows its layout."""
        self.module(name)
        return self.reading.reader(name, lambda: self._input)

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) or (3,h,w) RGB in [0,1] -> (B,channels,h,w) as the network was trained on."""
        return normalised(pixels, self.mean, self.std, self.channels).to(self.dtype)

    def score(self, output: Tensor, target: int) -> Tensor:
        """(B,C) or score maps (B,C,i,j) -> (B,): the logit of a class; over positions the log of the sum of exp."""
        chosen = output[:, target].flatten(1).float() if output.dim() == 4 else output[:, target].float()
        return chosen.logsumexp(1) if chosen.dim() == 2 else chosen

    def indices(self, targets: object) -> list[int]:
        """Classes as numbers. targets: an int, a class's name, or a list, tuple or tensor of these; ValueError names
        what is no class."""
        if isinstance(targets, Tensor) or hasattr(targets, "tolist"):
            targets = targets.tolist()  # type: ignore[union-attr]
        given = list(targets) if isinstance(targets, list | tuple) else [targets]
        if not given:
            raise ValueError("no target: name at least one class, or None for those that the network scores highest")
        return [self._index(each) for each in given]

    def _index(self, target: object) -> int:
        if isinstance(target, str):
            if self.classes is None:
                raise ValueError(f"the classes have no names, so {target!r} is none: wrap(..., classes=[...])")
            if target not in self.classes:
                near = ", ".join(difflib.get_close_matches(target, self.classes, 3, 0.5)) or "none"
                raise ValueError(f"there is no class {target!r}; near names: {near}")
            return self.classes.index(target)
        if isinstance(target, Tensor) and target.dim() == 0:
            target = target.item()
        if isinstance(target, bool) or not isinstance(target, int):
            raise ValueError(f"a target is the number or the name of a class, not {target!r}")
        if not 0 <= target < len(self.outputs):
            raise ValueError(f"there is no class {target}: the network has {len(self.outputs)} outputs, from 0")
        return target


def wrap(
    network: nn.Module,
    mean: Sequence[float] = MEAN,
    std: Sequence[float] = STD,
    layers: str | Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    classes: Sequence[str] | None = None,
    side: int = 224,
    device: str | torch.device | None = None,
    layouts: Mapping[str, Any] | None = None,
    outputs: str | None = None,
) -> Wrapped:
    """The classifier made of a network: normalised pixels (B,3,h,w) -> logits (B,C) or score maps (B,C,i,j).

    The network is changed in place: out of torch.compile, eval mode, parameters without gradients, no activation in
    place.

    Args:
        network: any `torch.nn.Module` about pictures.
        mean: of the training data per channel, RGB in [0,1]; ImageNet's unless given. One number for a network of one
            channel, which is shown grey pictures.
        std: the deviation, likewise.
        layers: names deep to shallow (GradCAM reads the first), or {"gpnncam": names, "cam": names}; None: by the rule
            (`gpnncam.layers`), as everywhere in the suite.
        classes: the names of the outputs.
        side: pictures are resized to side x side.
        device: where the network is moved to; None: where its parameters are.
        layouts: {layer: {"channels": "last"}} or {layer: {"tokens": {"prefix": 1}}}, where nothing shows it.
        outputs: "logits", "probabilities", "one_logit" (the second class is the negative of the one output) or
            "one_probability"; None: logits, and probabilities are refused.

    Returns:
        What `GPNNCAM`, `MultiscaleCAM` and the methods of `baselines` are built with.

    Raises:
        ValueError: the outputs are no logits, a layer does not exist or none can be recognised.

    >>> from torchvision.models import resnet18
    >>> from gpnncam import wrap
    >>> wrap(resnet18(num_classes=2), classes=["cat", "dog"], side=64).layers["gpnncam"]
    ['layer4', 'layer3', 'layer2']
    """
    if not isinstance(network, nn.Module):
        raise ValueError(f"wrap takes a torch.nn.Module, not {type(network).__name__}")
    if device is None:
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
    wrapped = Wrapped(network, mean, std, classes, side, torch.device(device), layouts, outputs)
    if layers is None:
        uses = layers_by_rule(wrapped.reading)
    elif isinstance(layers, Mapping):
        uses = {use: [names] if isinstance(names, str) else list(names) for use, names in layers.items()}
    else:
        names = [layers] if isinstance(layers, str) else list(layers)
        uses = {"gpnncam": names, "cam": names[:1], "relevance": names[:1]}
    for name in (*wrapped.reading.declared, *(each for names in uses.values() for each in names)):
        wrapped.module(name)
    wrapped.layers = uses
    wrapped.images_seen = 0
    return wrapped
