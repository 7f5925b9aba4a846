"""CAMERAS: activations and gradients of the picture at several sizes, each averaged over the sizes before they join."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.refusals import one_of
from baselines.sizes import check_sides, enlarged, in_proportion, refuse_fixed_size, sized
from baselines.taps import activations_and_gradients

CHANNELS = 64  # enlarged at once: a ResNet50's 2,048 at 224 x 224 would take 400 MB
MODES = ("bicubic", "bilinear")


class CAMERAS(Layered):
    """Jalwana, Akhtar, Bennamoun and Mian, CAMERAS, CVPR 2021, algorithm 1: with up(.) the bilinear enlargement to the
    grid and averages E over the sizes s, map = sum_k E_s[up(A_sk)] E_s[up(dy/dA_sk)].

    Cost: a forward pass a copy, each as the square of its side, and the head's backward pass for each class.

    Args:
        sides: shorter sides of the copies in pixels. The authors' are 224, 324, ..., 924, made from a picture of 224.
        grid: shorter side of the map; the authors' is 224, that of the first copy.
        mode: how the copies are made, "bicubic" (the authors') or "bilinear".
        layers: as in `baselines.layered.Layered`.
        **settings: relu and fusion, as there; the authors rectify the map.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(
        self,
        classifier: Classifier,
        sides: Sequence[int] = (224, 324, 424, 524, 624, 724, 824, 924),
        grid: int = 224,
        mode: str = "bicubic",
        layers: Sequence[str] | str | None = None,
        **settings: Any,
    ):
        super().__init__(classifier, layers, **settings)
        self.sides, self.mode = check_sides(sides, "sides"), one_of(MODES, "mode", mode)
        if grid < 1:
            raise ValueError(f"the map's grid has at least 1 cell a side, not {grid}")
        self.grid = grid
        refuse_fixed_size(classifier, "CAMERAS", self.sides)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w), the shorter of h and w is `grid`."""
        with torch.inference_mode(False):
            # Bicubic copies overshoot [0,1]: the authors' network sees them so.
            copies = [sized(image.detach().clone(), side, self.mode) for side in self.sides]
            read = [activations_and_gradients(self.classifier, copy, targets, self.layers) for copy in copies]
            size = in_proportion(image.shape[-2:], self.grid)
            return self.fused([_joined(layer, size) for layer in zip(*read, strict=True)])


def _joined(scales: Sequence[tuple[Tensor, Tensor]], size: tuple[int, int]) -> Tensor:
    """Activations (1,C,h,w) and gradients (K,C,h,w) of one layer at each scale -> map (K,*size)."""
    total = scales[0][1].new_zeros(len(scales[0][1]), *size)
    for first in range(0, scales[0][0].shape[1], CHANNELS):
        part = slice(first, first + CHANNELS)
        activations, gradients = (
            torch.stack([enlarged(scale[which][:, part], size) for scale in scales]).mean(0) for which in (0, 1)
        )
        for k, gradient in enumerate(gradients):
            total[k] += (activations[0] * gradient).sum(0)
    return total
