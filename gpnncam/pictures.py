"""Pictures of the kinds that people have them in, as pixels (H,W,3) uint8 or (3,H,W) in [0,1]."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

KINDS = (
    "a PIL image, a tensor (3,H,W) or (B,3,H,W), a numpy array (H,W,3) or (B,H,W,3), RGB, uint8 or float in [0,1], "
    "or a list of these"
)


def each(picture: Any) -> tuple[list[Tensor], bool]:
    """(pictures (3,H,W) float32 in [0,1], whether a batch was given) of whatever KINDS names; ValueError else."""
    if isinstance(picture, list | tuple):
        if not picture:
            raise ValueError("the list of pictures is empty")
        return [one for part in picture for one in each(part)[0]], True
    if hasattr(picture, "convert") and hasattr(picture, "size"):  # a PIL image; PIL itself is not needed for it
        picture = np.array(picture.convert("RGB"))
    if isinstance(picture, np.ndarray):
        if picture.ndim not in (3, 4) or picture.shape[-1] != 3:
            raise ValueError(f"an array of shape {picture.shape} is no picture; a picture is {KINDS}")
        picture = torch.from_numpy(np.ascontiguousarray(picture)).movedim(-1, -3)
    if not isinstance(picture, Tensor):
        raise ValueError(f"{type(picture).__name__} is no picture; a picture is {KINDS}")
    if picture.dim() not in (3, 4) or picture.shape[-3] != 3:
        hint = ""
        if picture.dim() in (3, 4) and picture.shape[-1] == 3:
            hint = "; channels come first: picture.movedim(-1, -3)"
        elif picture.dim() in (3, 4) and picture.shape[-3] == 1:
            hint = "; a grey picture is repeated over the colours: picture.expand(3, -1, -1)"
        raise ValueError(f"a tensor of shape {tuple(picture.shape)} is no picture{hint}; a picture is {KINDS}")
    batch = picture.dim() == 4
    return [_scaled(one) for one in (picture if batch else picture[None])], batch


def _scaled(picture: Tensor) -> Tensor:
    picture = picture.detach().cpu()
    if picture.dtype == torch.uint8:
        return picture.float() / 255
    if not picture.is_floating_point():
        raise ValueError(f"a picture of {picture.dtype}; it must be uint8, or float in [0,1]")
    picture = picture.float()
    low, high = (float(value) for value in picture.aminmax())
    if not -1e-3 <= low <= high <= 1 + 1e-3:
        raise ValueError(
            f"the picture's values go from {low:.4g} to {high:.4g}; they must lie in [0, 1]; the classifier "
            "normalises them"
        )
    return picture.clamp(0, 1)


def enlarged(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """(K,h,w) float64 -> (K,*size), bilinear, flat beyond the outermost cells' centres. As a + w (b - a): what is flat
    stays so to the last bit, and its highest point is where it begins."""
    for axis, count in ((1, size[0]), (2, size[1])):
        length = maps.shape[axis]
        place = ((torch.arange(count, dtype=maps.dtype) + 0.5) * (length / count) - 0.5).clamp(0, length - 1)
        first = place.long()
        below, above = maps.index_select(axis, first), maps.index_select(axis, (first + 1).clamp(max=length - 1))
        share = (place - first).view([-1 if axis == each_axis else 1 for each_axis in range(3)])
        maps = below + share * (above - below)
    return maps


def resized(picture: Tensor, side: int) -> Tensor:
    """(3,H,W) -> (3,side,side), the aspect ignored; bilinear, averaging where it shrinks."""
    if picture.shape[1:] == (side, side):
        return picture
    size = (side, side)
    return functional.interpolate(picture[None], size, mode="bilinear", align_corners=False, antialias=True)[0].clamp(
        0, 1
    )
