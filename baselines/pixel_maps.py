"""From one number per pixel and channel to a map: how channels join, and TorchRay's smoothing."""

import math

import torch
from torch import Tensor
from torch.nn import functional

CHANNELS = {
    "maximum": lambda values: values.abs().amax(1),
    "sum": lambda values: values.sum(1),
    "absolute_sum": lambda values: values.abs().sum(1),
}


def check_channels(channels: str) -> str:
    if channels not in CHANNELS:
        raise ValueError(f"channels {channels!r} is none of {', '.join(CHANNELS)}")
    return channels


def join(values: Tensor, channels: str, smooth: float) -> Tensor:
    """values (K,3,H,W) -> maps (K,H,W).

    channels: "maximum" of the absolute values (Simonyan et al. 2014, TorchRay), "sum", or "absolute_sum".
    smooth: sigma of a Gaussian as a share of the longer side; 0: none. TorchRay's pointing game uses 0.02.
    """
    return blur(CHANNELS[channels](values), smooth * max(values.shape[-2:]))


def blur(maps: Tensor, sigma: float) -> Tensor:
    """maps (K,H,W) convolved with a Gaussian of `sigma` pixels, cut at 4 sigma; the border's values go on outside."""
    if sigma <= 0:
        return maps
    radius = math.ceil(4 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = (-(offsets**2) / (2 * sigma**2)).exp()
    kernel = kernel / kernel.sum()
    blurred = []
    for one in maps:  # one by one: in a batch, rounding would depend on how many classes were asked for
        padded = functional.pad(one[None, None], [radius] * 4, mode="replicate")
        across = functional.conv2d(padded, kernel.view(1, 1, 1, -1))
        blurred.append(functional.conv2d(across, kernel.view(1, 1, -1, 1))[0])
    return torch.cat(blurred)
