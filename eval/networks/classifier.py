"""A classifier as attribution methods see it: a frozen network, its normalisation, its named layers, its scores."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from eval.files.places import near


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
        It is frozen in place: eval mode, no parameter gradients, no in-place activations (a method that keeps the
        input of a ReLU must not find it overwritten).
    mean, std: per channel, RGB, on the [0,1] scale; pixels become (pixels - mean) / std.
    layers: module names by use: "cam" (GradCAM family), "gpnncam" (deep to shallow), "relevance".
    classes: names of the data set's classes; class i is what targets index.
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
    ):
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        for module in network.modules():
            if getattr(module, "inplace", False):
                module.inplace = False
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
        for names in self.layers.values():
            for name in names:
                self.module(name)
        self.images_seen = 0
        # The price of a method is the number of pictures that pass the network, whoever calls it.
        network.register_forward_pre_hook(self._count)

    def _count(self, _module, inputs):
        self.images_seen += len(inputs[0])

    def module(self, name: str) -> nn.Module:
        """The module of that name (as in `named_modules`); ValueError with the nearest names."""
        if name not in self._modules or name == "":
            names = near(name, (n for n in self._modules if n), 5)
            raise ValueError(f"the network has no layer {name!r}; near names: {names or 'none'}")
        return self._modules[name]

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) or (3,h,w) RGB in [0,1] -> (B,3,h,w) as the network was trained on."""
        pixels = pixels if pixels.dim() == 4 else pixels[None]
        return ((pixels - self.mean) / self.std).to(self.dtype)

    def score(self, output: Tensor, target: int) -> Tensor:
        """Target score (B,) of class `target` from the network's output (B,C) or (B,C,i,j); differentiable.

        Logsumexp over the outputs that stand for the class and over positions. Over positions its gradient is
        exp(map) normalised to sum 1: the backward signal of TorchRay's fully convolutional pointing game.
        """
        chosen = output[:, self.outputs[target]].flatten(1).float()
        return chosen[:, 0] if chosen.shape[1] == 1 else chosen.logsumexp(1)

    def rank(self, output: Tensor, target: int) -> int:
        """How many outputs (1,C) or (1,C,i,j) score higher than the best one that stands for the class: 0 = top-1."""
        scores = output[0].float()
        scores = scores.flatten(1).logsumexp(1) if output.dim() == 4 else scores
        return int((scores > scores[self.outputs[target]].max()).sum())
