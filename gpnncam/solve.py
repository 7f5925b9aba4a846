"""The two phases of GPNN-CAM for one group of variations: from activations and gradients to heat maps per layer."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from gpnncam.regression import NormalEquations, Ridge

PHASE1 = ("average_gradient", "ridge")
FUSIONS = ("sigmoid_product", "product", "sum")
DIVISORS = ("variations", "own")
# A prediction that small is rounding (targets are of order one); dividing by it would turn rounding into a heat map.
ROUNDING = 1e-9


def fuse(maps: Sequence[Tensor], size: Sequence[int], fusion: str) -> Tensor:
    """Maps (..., K,n,h,w) of any grids, deep to shallow -> one (K,n,*size), in the unit of the fusion.

    sigmoid_product: each map m through sigmoid(m - 1/2), resized (bilinear), multiplied: what the authors do.
    product, sum: the maps themselves, resized, multiplied or added.
    """
    if fusion == "sigmoid_product":
        maps = [torch.sigmoid(m - 0.5) for m in maps]
    resized = torch.stack([functional.interpolate(m, size, mode="bilinear", align_corners=False) for m in maps])
    return resized.sum(0) if fusion == "sum" else resized.prod(0)


def solve(
    layers: Sequence[Tensor],
    gradients: Tensor,
    fitted: slice,
    phase1: str = "average_gradient",
    alpha: float = 1e-4,
    fusion: str = "sigmoid_product",
    chunk: int = 10,
    divisor: str = "variations",
) -> list[Tensor]:
    """Heat maps of a group of pictures for K classes, one (K,n,h,w) float64 per layer.

    layers: activations (n,C,h,w) of the group's pictures, deep to shallow.
    gradients: (K,n,C), gradient of each class's score with respect to the first layer, averaged over positions.
    fitted: the pictures that the weights and the regressions are computed from; the others are only predicted (in
        GPNN-CAM: the unchanged picture).
    divisor: maps are divided by the highest value of the fitted pictures' ("variations"); or those of the others each
        by its own highest value ("own").
    chunk: pictures that are converted to float64 at a time.
    """
    deep = layers[0]
    if phase1 == "average_gradient":
        weights = gradients[:, fitted].mean(1)
        raw = torch.einsum("kc,nchw->knhw", weights, deep)
        maps = [_normalise(raw.double(), fitted, divisor)]
    else:
        own = _normalise(torch.einsum("knc,nchw->knhw", gradients, deep).double(), fitted, divisor)
        maps = [_regress(deep, own, fitted, alpha, chunk, divisor)]
    for layer in layers[1:]:
        maps.append(_regress(layer, fuse(maps, layer.shape[2:], fusion), fitted, alpha, chunk, divisor))
    return maps


def _regress(layer: Tensor, target: Tensor, fitted: slice, alpha: float, chunk: int, divisor: str) -> Tensor:
    """Regress target (K,n,h,w) on the fitted pictures' activations (n,C,h,w); the maps of all pictures, normalised."""
    sums = NormalEquations()
    for x, y in zip(layer[fitted].split(chunk), target[:, fitted].split(chunk, 1), strict=True):
        sums.add(x, y)
    ridge: Ridge = sums.solve(alpha)
    predicted = torch.cat([ridge.predict(x) for x in layer.split(chunk)], 1)
    return _normalise(torch.where(predicted > ROUNDING, predicted, 0), fitted, divisor)


def _normalise(raw: Tensor, fitted: slice, divisor: str) -> Tensor:
    """ReLU of (K,n,h,w), each class divided by its maximum as `divisor` says; a map without any stays 0."""
    positive = raw.clamp(min=0)
    highest = positive[:, fitted].amax((1, 2, 3), keepdim=True)
    if divisor == "own":
        together = highest
        highest = positive.amax((2, 3), keepdim=True)
        highest[:, fitted] = together
    return positive / torch.where(highest > 0, highest, 1)
