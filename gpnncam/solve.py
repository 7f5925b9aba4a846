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
# A channel that the others explain but for so small a share of its variance is fitted in float64: sums of float32
# products hold the share to some 1e-7.
COLLINEAR = 1e-4


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
    chunk: pictures whose products are summed at a time.
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
    x, y = layer[fitted].split(chunk), target[:, fitted].split(chunk, 1)
    ridge = _fit(x, y, alpha, torch.float32) if _single_may_do(layer[fitted]) else None
    if ridge is None or ridge.least < COLLINEAR:
        ridge = _fit(x, y, alpha, torch.float64)
        assert ridge is not None, "in float64 it raises"
    predicted = torch.cat([ridge.predict(x) for x in layer.split(chunk)], 1)
    return _normalise(torch.where(predicted > ROUNDING, predicted, 0), fitted, divisor)


def _fit(x: Sequence[Tensor], y: Sequence[Tensor], alpha: float, dtype: torch.dtype) -> Ridge | None:
    """The regression of y, chunks (K,n,h,w), on x, chunks (n,C,h,w); None where float32 has no solution."""
    sums = NormalEquations(dtype)
    for activations, targets in zip(x, y, strict=True):
        sums.add(activations, targets)
    try:
        return sums.solve(alpha)
    except ValueError:
        if dtype == torch.float64:
            raise
        return None


def _single_may_do(layer: Tensor) -> bool:
    """Whether products in float32 may be exact enough for (n,C,h,w): on a CPU, which has no faster and coarser float32
    unless somebody sets one, with twice as many samples as channels. Fewer make the Gram matrix singular but for
    alpha, which is below what float32 resolves."""
    precise = layer.device.type == "cpu" and torch.get_float32_matmul_precision() == "highest"
    return precise and layer.dtype == torch.float32 and layer[:, 0].numel() >= 2 * layer.shape[1]


def _normalise(raw: Tensor, fitted: slice, divisor: str) -> Tensor:
    """ReLU of (K,n,h,w), each class divided by its maximum as `divisor` says; a map without any stays 0."""
    positive = raw.clamp(min=0)
    highest = positive[:, fitted].amax((1, 2, 3), keepdim=True)
    if divisor == "own":
        together = highest
        highest = positive.amax((2, 3), keepdim=True)
        highest[:, fitted] = together
    return positive / torch.where(highest > 0, highest, 1)
