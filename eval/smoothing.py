"""The Gaussian over a heat map on the original picture's grid, which some methods' protocols prescribe."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor
from torch.nn import functional

SIDES = {"longer": max, "shorter": min}
BORDERS = ("edge", "zero")


@dataclass(frozen=True)
class Smoothing:
    """sigma = share * the picture's `of` side, in pixels; the kernel is cut at 4 sigma. share 0: none.

    border: outside of the picture the map goes on with the values of its "edge", or is "zero".
    TorchRay: 0.02 of the longer side, edge, for gradient-type maps; 0.09 of the shorter side, zero, for extremal
    perturbations.
    """

    share: float = 0.0
    of: str = "longer"
    border: str = "edge"

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not isinstance(self.share, Real) or not 0 <= self.share < 1:
            raise ValueError(f"method.smooth: the share of a side must lie between 0 and 1, not be {self.share!r}")
        if self.of not in SIDES:
            raise ValueError(f"method.smooth.of must be longer or shorter, not {self.of!r}")
        if self.border not in BORDERS:
            raise ValueError(f"method.smooth.border must be edge or zero, not {self.border!r}")

    @classmethod
    def from_settings(cls, settings: float | Mapping | None) -> "Smoothing":
        """From a method's `smooth`: a share of the longer side, or share, of, border; None: none."""
        if settings is None:
            return NONE
        if not isinstance(settings, Mapping):
            return cls(settings)
        unknown = set(settings) - {"share", "of", "border"}
        if unknown:
            raise ValueError(f"unknown method.smooth setting {', '.join(sorted(map(str, unknown)))}")
        return cls(**settings)

    def __call__(self, maps: Tensor) -> Tensor:
        """maps (K,h,w) -> the same, smoothed."""
        return blur(maps, self.share * SIDES[self.of](maps.shape[-2:]), self.border)


NONE = Smoothing()


def blur(maps: Tensor, sigma: float, border: str = "edge") -> Tensor:
    """maps (K,h,w) convolved with a Gaussian of `sigma` pixels, cut at 4 sigma; border: see `Smoothing`."""
    if sigma <= 0:
        return maps
    radius = math.ceil(4 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = (-(offsets**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    blurred = []
    for one in maps:  # one by one: in a batch, rounding would depend on how many classes were asked for
        padded = functional.pad(one[None, None], [radius] * 4, mode="replicate" if border == "edge" else "constant")
        across = functional.conv2d(padded, kernel.view(1, 1, 1, -1))
        blurred.append(functional.conv2d(across, kernel.view(1, 1, -1, 1))[0])
    return torch.cat(blurred)
