"""What all class activation maps share: the layers that they read, and how the maps of several become one."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from baselines.contract import Classifier
from baselines.refusals import one_of
from baselines.taps import check_reached, layer_names, tapped

FUSIONS = ("maximum", "mean")


def fuse(maps: Sequence[Tensor], fusion: str, gamma: float | None) -> Tensor:
    """Maps (K,h,w) of several layers -> (K,h,w) on the finest grid; a single layer's map is returned untouched.

    Each map is rectified and divided by its maximum, as LayerCAM's authors do before they fuse; `gamma` is the
    factor of their tanh scaling (Jiang et al., TIP 2021). fusion: "maximum" (the authors') or "mean" (the library's).
    """
    if len(maps) == 1:
        return maps[0]
    grid = max((m.shape[-2:] for m in maps), key=lambda shape: shape[0] * shape[1])
    scaled = []
    for m in maps:
        m = m.clamp(min=0)
        top = m.amax((1, 2), keepdim=True)
        m = m / torch.where(top > 0, top, torch.ones_like(top))
        m = m if gamma is None else torch.tanh(gamma * m)
        scaled.append(functional.interpolate(m[:, None], size=grid, mode="bilinear", align_corners=False)[:, 0])
    stack = torch.stack(scaled)
    return stack.amax(0) if fusion == "maximum" else stack.mean(0)


class Layered:
    """The settings of every class activation map.

    Args:
        layers: names of the layers read; None: those that the model names for the first of `uses` that it knows.
        relu: the rectification that closes most of the papers' formulas. Off: where a map has no positive value the raw
            map still tells positions apart. Where it has one, the highest cell is the same with and without it; after
            the resize the highest pixel may differ, as negative neighbours pull a cell's flank down.
        fusion: how the maps of several layers become one, see `fuse`.
    """

    uses: tuple[str, ...] = ("cam",)
    scaling: float | None = None  # the gamma of `fuse`

    def __init__(
        self,
        classifier: Classifier,
        layers: Sequence[str] | str | None = None,
        relu: bool = False,
        fusion: str = "maximum",
    ):
        self.classifier = classifier
        self.layers = layer_names(classifier, layers, *self.uses)
        self.relu = relu
        self.fusion = one_of(FUSIONS, "fusion", fusion)

    def fused(self, maps: Sequence[Tensor]) -> Tensor:
        """The layers' maps (K,h,w) -> one (K,h,w) on the finest grid, rectified if so set."""
        fused = fuse(maps, self.fusion, self.scaling)
        return fused.clamp(min=0) if self.relu else fused

    def activations(self, image: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        """(normalised pixels (1,3,H,W), output, activations (1,C,h,w) of each layer) of image (3,H,W), no gradients."""
        with torch.no_grad():
            pixels = self.classifier.normalise(image)
            with tapped(self.classifier, self.layers, gradients=False) as taps:
                output = self.classifier.network(pixels)
            check_reached(self.layers, taps)
            return pixels, output, [taps[name] for name in self.layers]
