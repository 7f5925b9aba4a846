"""RefineCAM: maps of several layers multiplied, so that deep ones say where and shallow ones how exactly."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from baselines.cam import CAM, GradCAMPlusPlus
from baselines.contract import Classifier
from baselines.taps import activations_and_gradients, layer_names


class RefineCAM:
    """Domeniconi et al., How to Evaluate and Refine your CAM, ICPR 2026 (arXiv 2605.14641).

    map = prod_l N(up(max(0, M_l))): each layer's map M_l is rectified, enlarged bilinearly to the network's input and
    scaled to [0,1] by its lowest and highest value (N).
    pytorch-grad-cam returns the same (results/tables/peers.md).

    Args:
        formula: of M_l, by its name in `baselines.cam`. The default is GradCAM++ in pytorch-grad-cam's variant, which
            the authors ran.
        layers: None: the model's "refine" layers, the outputs of its last four stages, as in the authors' program.
        normalise_alpha: see `baselines.cam.GradCAMPlusPlus`.
        epsilon: see there.
    """

    version = 1  # raised when its maps change for equal settings

    @staticmethod
    def libraries(formula: str = "GradCAMPlusPlus", **_: Any) -> tuple[str, ...]:
        """Those whose versions decide its maps."""
        return GradCAMPlusPlus.libraries if formula == "GradCAMPlusPlus" else CAM.libraries

    def __init__(
        self,
        classifier: Classifier,
        formula: str = "GradCAMPlusPlus",
        layers: Sequence[str] | str | None = None,
        normalise_alpha: bool = False,
        epsilon: float = 1e-6,
    ):
        self.classifier = classifier
        self.layers = layer_names(classifier, layers, "refine", "gpnncam", "cam")
        if formula == "GradCAMPlusPlus":
            self.base: CAM = GradCAMPlusPlus(classifier, normalise_alpha, epsilon, layers=self.layers)
        else:
            self.base = CAM(classifier, formula, self.layers)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W) in [0,1]; zero if a layer's is nowhere positive."""
        product = image.new_ones(len(targets), *image.shape[-2:])
        for activations, gradients in activations_and_gradients(self.classifier, image, targets, self.layers):
            cam = self.base.map(activations, gradients).clamp(min=0)
            cam = functional.interpolate(cam[:, None], image.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
            low, high = cam.amin((1, 2), keepdim=True), cam.amax((1, 2), keepdim=True)
            product = product * (cam - low) / torch.where(high > low, high - low, torch.ones_like(high))
        return product
