"""Recipro-CAM: what the network's head makes of each single position of a layer."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.probability import KINDS, probability
from baselines.refusals import at_least_one, one_of
from baselines.replay import finished_before, replayed

# The authors' 3 x 3 Gaussian.
SPREAD = torch.tensor([[1, 2, 1], [2, 4, 2], [1, 2, 1]]) / 16


class ReciproCAM(Layered):
    """Byun and Lee, Recipro-CAM (arXiv 2209.14074), algorithm 1: the map at a position is the class's probability when
    the head is given the layer's output at that position alone, zero elsewhere.

    What is computed before the layer is computed once a picture; all classes share the passes, and nothing is
    differentiated. Tokens before the patches stay.
    ValueError where the layer's output does not decide the network's: then a position is never alone.

    Args:
        gaussian: the position's values also lie on its eight neighbours, weighted 1/4, 1/8 and 1/16.
        probability: "softmax" over classes (the authors') or "sigmoid".
        batch: positions per pass.
        **settings: those of `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(
        self,
        classifier: Classifier,
        gaussian: bool = False,
        probability: str = "softmax",
        batch: int = 64,
        **settings: Any,
    ):
        super().__init__(classifier, **settings)
        self.gaussian, self.probability = gaussian, one_of(KINDS, "probability", probability)
        self.batch = at_least_one(batch)
        for name in self.layers:
            self._refuse_ways_past(name)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> probabilities (K,h,w) on the grid of the (finest) layer."""
        with torch.no_grad():
            pixels, _, layers = self.activations(image)
            return self.fused(
                [
                    self._map(pixels, name, features, targets)
                    for name, (features,) in zip(self.layers, layers, strict=True)
                ]
            )

    def _map(self, pixels: Tensor, name: str, features: Tensor, targets: Tensor) -> Tensor:
        """features (C,h,w) of the layer -> (K,h,w)."""
        layer, seen = self.classifier.module(name), self.classifier.images_seen
        known = finished_before(self.classifier.network, layer, lambda: self.classifier.network(pixels))
        self.classifier.images_seen = seen  # the pass counts among those of the positions
        size = features.shape[1:]
        columns = []
        for chosen in torch.arange(size.numel(), device=features.device).split(self.batch):
            output = self._alone(pixels, name, chosen, known)
            columns.append(
                torch.stack(
                    [probability(self.classifier, output, target, self.probability) for target in targets.tolist()]
                )
            )
        return torch.cat(columns, 1).unflatten(1, size)

    def _alone(self, pixels: Tensor, name: str, chosen: Tensor, known: dict[nn.Module, Tensor]) -> Tensor:
        """The network's output, a row for each of the chosen positions of the layer alone."""

        def isolate(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            copies = output.repeat(len(chosen), *[1] * (output.dim() - 1))
            maps = self.classifier.reader(name)(copies)  # a view
            size = maps.shape[2:]
            values = maps[0].flatten(1)[:, chosen].T[:, :, None, None].clone()
            places = functional.one_hot(chosen, size.numel()).to(maps).unflatten(1, size)[:, None]
            if self.gaussian:
                places = functional.conv2d(places, SPREAD.to(places)[None, None], padding=1)
            maps.copy_(values * places)
            return copies

        handle = self.classifier.module(name).register_forward_hook(isolate)
        try:
            with replayed(known):
                output = self.classifier.network(pixels)
        finally:
            handle.remove()
        # Counted as whole pictures although the layers below ran once: no method looks cheaper than it may be.
        self.classifier.images_seen += len(chosen) - len(pixels)
        return output

    def _refuse_ways_past(self, name: str) -> None:
        """ValueError where the network's output still depends on the picture when the layer returns zeros."""
        seen, side = self.classifier.images_seen, self.classifier.side
        noise = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0)).to(self.classifier.device)
        handle = self.classifier.module(name).register_forward_hook(lambda _m, _i, output: torch.zeros_like(output))
        try:
            with torch.no_grad():
                first, second = (self.classifier.network(self.classifier.normalise(each)) for each in noise)
        finally:
            handle.remove()
        self.classifier.images_seen = seen
        if not torch.equal(first, second):
            raise ValueError(
                f"Recipro-CAM gives the head one position of a layer, and what follows {name!r} reads more than that "
                "layer (a shortcut passes it): method.build.layers=[NAME] with a layer that all information crosses"
            )
