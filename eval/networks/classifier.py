"""A classifier as attribution methods see it: a frozen network, its normalisation, its named layers, its scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from eval.files.places import near
from eval.networks.preprocessing import described
from gpnncam.batch_size import Passes
from gpnncam.inputs import normalised, statistic
from gpnncam.layers import layers_by_rule
from gpnncam.layouts import Layout
from gpnncam.reading import Reading
from gpnncam.requirements import adapt, examine, frozen

HALF = (torch.bfloat16, torch.float16)


class Layers(dict[str, list[str]]):
    """{use: module names}; `read` collects the uses that somebody looked up: only they decide a method's rows."""

    def __init__(self, names: Mapping[str, list[str]]):
        super().__init__(names)
        self.read: set[str] = set()

    def __getitem__(self, use: str) -> list[str]:
        self.read.add(use)
        return super().__getitem__(use)

    def get(self, use: str, default: Any = None) -> Any:
        """As of a dict."""
        self.read.add(use)
        return super().get(use, default)


class Classifier:
    """A frozen network in eval mode, whose outputs are read as scores of the data set's classes.

    network: maps normalised pixels (B,3,h,w) to logits (B,C) or, fully convolutional, to score maps (B,C,i,j).
        It is frozen in place, see `gpnncam.requirements.frozen`.
    mean, std: per channel, RGB, on the [0,1] scale; pixels become (pixels - mean) / std. One number each: the network
        takes grey pictures.
    layers: module names by use: "cam" (GradCAM family), "gpnncam" (deep to shallow), "relevance".
    side: of a square picture that the network takes. layouts: as `gpnncam.layouts.declared` reads them.
    classes: names of the data set's classes; class i is what targets index. notes: what a run says about its network.
    outputs: for each class the network outputs that stand for it; None: output i is class i.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        layers: Mapping[str, Sequence[str]],
        classes: Sequence[str],
        outputs: Sequence[Sequence[int]] | None = None,
        device: str | torch.device = "cpu",
        side: int = 224,
        layouts: Mapping[str, Any] | None = None,
    ):
        self.device = torch.device(device)
        self.network = network = frozen(network, self.device)
        self.normalisation = {"mean": list(mean), "std": list(std)}
        self.notes: list[str] = []
        self.classes = tuple(classes)
        self.outputs = [list(o) for o in outputs] if outputs is not None else [[i] for i in range(len(self.classes))]
        if len(self.outputs) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes, but outputs are given for {len(self.outputs)}")
        self.channels = len(list(mean))
        self.mean, self.std = (statistic(name, value, self.device) for name, value in (("mean", mean), ("std", std)))
        self.layers = Layers({u: [names] if isinstance(names, str) else list(names) for u, names in layers.items()})
        weights = (p.dtype for p in network.parameters() if p.is_floating_point())
        self.dtype = next(weights, torch.float32)  # what the network computes in
        self._modules = dict(network.named_modules())
        self.side, self.input_size = side, (side, side)
        self.reading = Reading(self.network, self._grey, side, layouts)
        self.declared = self.reading.declared
        for name in [*self.declared, *(name for names in self.layers.values() for name in names)]:
            self.module(name)
        self.images_seen = self.area_seen = 0
        try:
            network.register_forward_pre_hook(self._receive)
        except RuntimeError:  # not on a scripted module
            self.network = network = Script(network)
            network.register_forward_pre_hook(self._receive)
        self._passes = Passes(network)

    def at_once(self, picture: Tensor) -> int:
        """How many pictures like (3,h,w) pass together, by the largest activation; finding it out is no picture's."""
        seen = self.images_seen, self.area_seen, self.input_size
        count = self._passes.at_once(self.normalise(picture))
        self.images_seen, self.area_seen, self.input_size = seen
        return count

    def _receive(self, _module: nn.Module, inputs: tuple) -> tuple:
        # The price of a method is the pictures and pixels that pass the network, also when a library calls it.
        if not self.reading.probing:
            self.images_seen += len(inputs[0])
            self.input_size = tuple(inputs[0].shape[-2:])
            self.area_seen += len(inputs[0]) * self.input_size[0] * self.input_size[1]
        # A mask in float32 makes a picture in bfloat16 one in float32.
        return (inputs[0].to(self.dtype), *inputs[1:]) if self.dtype in HALF else inputs

    def module(self, name: str) -> nn.Module:
        """The module of that name (as in `named_modules`); ValueError with the nearest names."""
        if name not in self._modules or name == "":
            names = near(name, (n for n in self._modules if n), 5)
            raise ValueError(f"the network has no layer {name!r}; near names: {names or 'none'}")
        return self._modules[name]

    def layout(self, name: str) -> Layout:
        """How the layer's output becomes maps, see `gpnncam.reading.Reading.layout`."""
        self.module(name)
        return self.reading.layout(name)

    def reader(self, name: str) -> Callable[[Tensor], Tensor]:
        """The function from the layer's output, or from a gradient of its shape, to maps (B,C,h,w), a view of it.

        Ask for it before hooks hang on the network: the layout may take a forward pass of its own.
        """
        self.module(name)
        return self.reading.reader(name, lambda: self.input_size)

    def layers_by_rule(self) -> dict[str, list[str]]:
        """{use: layers, deep to shallow} where nobody names any, see `gpnncam.layers`."""
        return layers_by_rule(self.reading)

    def _grey(self, height: int, width: int) -> Tensor:
        return self.normalise(self.mean.expand(1, -1, height, width))

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) or (3,h,w) RGB in [0,1] -> (B,channels,h,w) as the network was trained on."""
        return normalised(pixels, self.mean, self.std, self.channels).to(self.dtype)

    def adapt(self, kind: str | None) -> int:
        """Show the network what it takes and make logits of what it returns, once (`gpnncam.requirements.adapt`); the
        number of outputs. ValueError where it is no classifier of pictures."""
        try:
            self.count = adapt(self, kind)
            return self.count
        except ValueError as error:
            known = described(self.network)
            side = known.side if known else None
            hint = f"; it was made for protocol.input.side={side}" if side not in (None, self.side) else ""
            raise ValueError(f"{error}{hint}") from error

    def examine(self) -> None:
        """ValueError where its answers are no property of the picture (see `gpnncam.requirements.examine`)."""
        examine(self)

    def score(self, output: Tensor, target: int) -> Tensor:
        """Target score (B,) of class `target` from the network's output (B,C) or (B,C,i,j); differentiable.

        Logsumexp over the outputs that stand for the class and over positions. Over positions its gradient is
        exp(map) normalised to sum 1: the backward signal of TorchRay's fully convolutional pointing game.
        """
        chosen = output[:, self.outputs[target]].flatten(1)
        chosen = chosen.float() if chosen.dtype in HALF else chosen
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen.logsumexp(1)

    def rank(self, output: Tensor, target: int) -> int:
        """How many outputs (1,C) or (1,C,i,j) score higher than the best one that stands for the class: 0 = top-1."""
        scores = output[0].float()
        scores = scores.flatten(1).logsumexp(1) if output.dim() == 4 else scores
        return int((scores > scores[self.outputs[target]].max()).sum())


class Script(nn.Module):
    """A scripted network inside a module that has hooks."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.inner = network
        self.eval()

    def forward(self, pixels: Tensor) -> Tensor:
        """What the scripted network returns."""
        return self.inner(pixels)
