"""The GradCAM family: formulas of pytorch-grad-cam on activations and gradients that we take ourselves.

pytorch-grad-cam 1.5 returns maps that are rectified, scaled to [0,1] and resized to the input; it differentiates the
whole network, leaves gradients on parameters and fails on frozen ones. So only its formulas are called here (this file
holds all that is particular to the library), and maps come back raw, on the layer's grid.
"""

import functools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.refusals import one_of
from baselines.taps import activations_and_gradients, many_activations_and_gradients

# Formulas of the library that need activations and gradients only.
FORMULAS = (
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "XGradCAM",
    "LayerCAM",
    "GradCAMElementWise",
    "EigenCAM",
    "EigenGradCAM",
    "SegEigenCAM",
)


class CAM(Layered):
    """A method of the GradCAM family by the name of its class in pytorch-grad-cam.

    Args:
        formula: one of FORMULAS.
        layers: as in `baselines.layered.Layered`.
        gamma: see `baselines.layered.fuse`.
        **settings: relu and fusion, as in `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings
    libraries: tuple[str, ...] = ("grad-cam",)  # whose versions decide its maps

    def __init__(
        self,
        classifier: Classifier,
        formula: str = "GradCAM",
        layers: Sequence[str] | str | None = None,
        gamma: float | None = None,
        **settings: Any,
    ):
        super().__init__(classifier, layers, **settings)
        self.formula = one_of(FORMULAS, "formula", formula)
        self.scaling = gamma

    @functools.cached_property
    def _library(self) -> Any:
        """The library's object, here for its formula alone. It asks its network for a parameter, and not every network
        that is explained has one: a stand-in has, and it draws nothing at random."""
        import pytorch_grad_cam  # imports torchvision, which takes a second: when the first map is made

        return getattr(pytorch_grad_cam, self.formula)(torch.nn.BatchNorm2d(1), [])

    def map(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """activations (1,C,h,w), gradients (K,C,h,w) -> maps (K,h,w)."""
        repeated = activations.expand_as(gradients).cpu().numpy()
        weighted = self._library.get_cam_image(None, None, None, repeated, gradients.cpu().numpy(), False)
        return torch.from_numpy(weighted).to(gradients)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        return self._maps(activations_and_gradients(self.classifier, image, targets, self.layers))

    def many(self, images: Tensor, targets: Sequence[Tensor], seeds: Sequence[int]) -> list[Tensor]:
        """The same for images (B,3,H,W) and B targets (K,) in one forward pass; nothing here is drawn from a seed."""
        read = many_activations_and_gradients(self.classifier, images, targets, self.layers)
        return [self._maps(one) for one in read]

    def _maps(self, read: list[tuple[Tensor, Tensor]]) -> Tensor:
        return self.fused([self.map(activations, gradients) for activations, gradients in read])


class GradCAMPlusPlus(CAM):
    """Chattopadhay et al., Grad-CAM++, WACV 2018, eq. 19 with the authors' published program.

    With Y = exp(score) the second and third derivatives of eq. 19 are exp(score) g^2 and exp(score) g^3 (g: gradient of
    the score), so alpha = g^2 / (2 g^2 + sum(A) g^3) = 1 / (2 + sum(A) g). The factor exp(score) of the weights is left
    out: it scales the map of a class as a whole.

    Args:
        normalise_alpha: divide each channel's alpha by its sum over positions with a positive gradient, as the authors'
            program does since May 2018 (before: over all positions) and pytorch-grad-cam does not.
        epsilon: 0 as the authors. pytorch-grad-cam adds 1e-6 to the denominator before it is divided by g^2, which
            decides the map wherever gradients are below a thousandth.
        **settings: those of `CAM`.
    """

    version = 1  # raised when its maps change for equal settings
    libraries = ()

    def __init__(self, classifier: Classifier, normalise_alpha: bool = True, epsilon: float = 0.0, **settings: Any):
        super().__init__(classifier, "GradCAMPlusPlus", **settings)
        self.normalise_alpha = normalise_alpha
        self.epsilon = epsilon

    def map(self, activations: Tensor, gradients: Tensor) -> Tensor:
        """activations (1,C,h,w), gradients (K,C,h,w) -> maps (K,h,w)."""
        total = activations.sum((2, 3), keepdim=True)
        if self.epsilon:
            square = gradients**2
            alpha = square / (2 * square + total * gradients**3 + self.epsilon)
        else:
            denominator = 2 + total * gradients
            alpha = torch.where(denominator != 0, 1 / denominator, gradients**2)
        positive = gradients.clamp(min=0)
        alpha = torch.where(positive > 0, alpha, torch.zeros_like(alpha))
        if self.normalise_alpha:
            mass = alpha.sum((2, 3), keepdim=True)
            alpha = alpha / torch.where(mass != 0, mass, torch.ones_like(mass))
        weights = (alpha * positive).sum((2, 3), keepdim=True)
        return (weights * activations).sum(1)
