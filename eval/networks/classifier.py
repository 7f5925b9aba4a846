"""A classifier as attribution methods see it: a frozen network, its normalisation, its named layers, its scores."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from eval.files.places import near
from eval.networks.layouts import Layout, decide, declared
from eval.networks.observe import Observed, observed

HALF = (torch.bfloat16, torch.float16)


class Layers(dict[str, list[str]]):
    """{use: module names}; `read` collects the uses that somebody looked up: only they decide a method's rows."""

    def __init__(self, names: Mapping[str, list[str]]):
        super().__init__(names)
        self.read: set[str] = set()

    def __getitem__(self, use: str) -> list[str]:
        self.read.add(use)
        return super().__getitem__(use)

    def get(self, use, default=None):  # type: ignore[no-untyped-def]  # dict's overloads
        self.read.add(use)
        return super().get(use, default)


class Classifier:
    """A frozen network in eval mode, whose outputs are read as scores of the data set's classes.

    network: maps normalised pixels (B,3,h,w) to logits (B,C) or, fully convolutional, to score maps (B,C,i,j).
        It is taken out of torch.compile and frozen in place: eval mode, no parameter gradients, no in-place activations
        (a method that keeps the input of a ReLU must not find it overwritten).
    mean, std: per channel, RGB, on the [0,1] scale; pixels become (pixels - mean) / std.
    layers: module names by use: "cam" (GradCAM family), "gpnncam" (deep to shallow), "relevance".
    side: of a square picture that the network takes. layouts: as `eval.networks.layouts.declared` reads them.
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
        network = getattr(network, "_orig_mod", network)  # what torch.compile makes of it calls no hooks
        self.network = network.eval().to(self.device)
        for parameter in network.parameters():  # a ScriptModule has no requires_grad_ of its own
            parameter.requires_grad_(False)
        for module in network.modules():
            if getattr(module, "inplace", False) and not isinstance(module, torch.jit.ScriptModule):
                module.inplace = False
        self.normalisation = {"mean": list(mean), "std": list(std)}
        self.notes: list[str] = []
        self.classes = tuple(classes)
        self.outputs = [list(o) for o in outputs] if outputs is not None else [[i] for i in range(len(self.classes))]
        if len(self.outputs) != len(self.classes):
            raise ValueError(f"{len(self.classes)} classes, but outputs are given for {len(self.outputs)}")
        self.mean = torch.tensor(list(mean), device=self.device).view(1, 3, 1, 1)
        self.std = torch.tensor(list(std), device=self.device).view(1, 3, 1, 1)
        self.layers = Layers({u: [names] if isinstance(names, str) else list(names) for u, names in layers.items()})
        weights = (p.dtype for p in network.parameters() if p.is_floating_point())
        self.dtype = next(weights, torch.float32)  # what the network computes in
        self._modules = dict(network.named_modules())
        self.side, self.input_size = side, (side, side)
        self.declared = declared(layouts)
        self._layouts: dict[str, Layout] = dict(self.declared)
        self._seen: dict[int, Observed] = {}
        for name in [*self.declared, *(name for names in self.layers.values() for name in names)]:
            self.module(name)
        self.images_seen = self.area_seen = 0
        try:
            network.register_forward_pre_hook(self._receive)
        except RuntimeError:  # not on a scripted module
            self.network = network = Script(network)
            network.register_forward_pre_hook(self._receive)

    def _receive(self, _module: nn.Module, inputs: tuple) -> tuple:
        # The price of a method is the number of pictures that pass the network, and their pixels, whoever calls it.
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
        """How the layer's output becomes maps: declared, or found once from a grey picture's pass; ValueError says what
        to declare, or that the layer returns no maps."""
        if name not in self._layouts:
            module, seen = self.module(name), self.observed()
            shape = seen.returned.get(name)
            if shape is None:
                raise ValueError(_not_run(name, module, seen))
            if isinstance(shape, str) or len(shape) not in (3, 4):
                raise ValueError(f"layer {name!r} returns {shape}, not feature maps (B,C,h,w)")
            try:
                self._layouts[name] = decide(self.network, name, shape, seen.size, None)
            except ValueError:
                taller = self.observed(2).returned.get(name)
                self._layouts[name] = decide(self.network, name, shape, seen.size, _shape(taller))
        return self._layouts[name]

    def reader(self, name: str) -> Callable[[Tensor], Tensor]:
        """The function from the layer's output, or from a gradient of its shape, to maps (B,C,h,w), a view of it.

        Ask for it before hooks hang on the network: the layout may take a forward pass of its own.
        """
        layout = self.layout(name)
        return partial(_read, self, name, layout)

    def observed(self, height: int = 1) -> Observed:
        """What each layer returns for a grey picture, `height` times as high as `side`; the pass is counted nowhere."""
        if height not in self._seen:
            before = self.images_seen, self.area_seen, self.input_size
            grey = self.mean.expand(1, 3, height * self.side, self.side)
            self._seen[height] = observed(self.network, self.normalise(grey))
            self.images_seen, self.area_seen, self.input_size = before
        return self._seen[height]

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) or (3,h,w) RGB in [0,1] -> (B,3,h,w) as the network was trained on."""
        pixels = pixels if pixels.dim() == 4 else pixels[None]
        return ((pixels - self.mean) / self.std).to(self.dtype)

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
        return self.inner(pixels)


def _read(classifier: Classifier, name: str, layout: Layout, output: Tensor) -> Tensor:
    dimensions = 3 if layout.channels == "tokens" else 4
    if output.dim() != dimensions:
        raise ValueError(
            f"layer {name!r} returns {tuple(output.shape)}, no feature maps with {layout}; model.layouts says another"
        )
    try:
        return layout.maps(output, classifier.input_size)
    except ValueError as error:
        raise ValueError(f"layer {name!r}: {error}") from None


def _not_run(name: str, module: nn.Module, seen: Observed) -> str:
    if isinstance(module, torch.jit.ScriptModule):
        return (
            f"layer {name!r} is TorchScript, whose layers cannot be read (it calls no hooks): methods that read layers "
            "need the network as Python code"
        )
    if seen.error is not None:
        return f"layer {name!r} was not reached by a picture of {seen.size[1]} x {seen.size[0]}: {seen.error}"
    return f"layer {name!r} takes no part in the network's forward pass"


def _shape(found: tuple[int, ...] | str | None) -> tuple[int, ...] | None:
    return found if isinstance(found, tuple) else None
