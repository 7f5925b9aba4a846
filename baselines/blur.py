"""A Gaussian blur with a stated number of taps, as OpenCV computes it."""

import torch
from torch import Tensor
from torch.nn import functional


def blurred(planes: Tensor, taps: int, deviation: float) -> Tensor:
    """planes (N,h,w), mirrored at the border without repeating it; fewer taps where a side is too short to mirror."""
    radius = min(taps // 2, *(side - 1 for side in planes.shape[-2:]))
    offsets = torch.arange(-radius, radius + 1, dtype=planes.dtype, device=planes.device)
    kernel = (-(offsets**2) / (2 * deviation**2)).exp()
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
    values = functional.pad(planes[:, None], [radius] * 4, mode="reflect")
    return functional.conv2d(functional.conv2d(values, kernel), kernel.transpose(2, 3))[:, 0]
