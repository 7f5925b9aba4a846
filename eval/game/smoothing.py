"""The Gaussian over a heat map on the original picture's grid, which some methods' protocols prescribe."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real

import numpy as np

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

    def __call__(self, heat: np.ndarray) -> np.ndarray:
        """heat (height,width) float64 -> the same, smoothed."""
        sigma = self.share * SIDES[self.of](heat.shape)
        if sigma <= 0:
            return heat
        from scipy.ndimage import gaussian_filter

        mode = "nearest" if self.border == "edge" else "constant"
        return gaussian_filter(heat, sigma, mode=mode, radius=math.ceil(4 * sigma))


NONE = Smoothing()
