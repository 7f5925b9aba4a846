"""Pictures at other sizes, and networks that take pictures of one size only."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from baselines.contract import Classifier


def in_proportion(size: Sequence[int], side: int) -> tuple[int, int]:
    """(height, width) with the shorter one `side`, the other in proportion to those of size (height, width)."""
    height, width = size
    return max(1, round(height * side / min(size))), max(1, round(width * side / min(size)))


def sized(image: Tensor, side: int, mode: str) -> Tensor:
    """image (3,H,W) -> (3,h,w) of that shorter side; mode: "bilinear" or "bicubic". Where it shrinks, an average."""
    size = in_proportion(image.shape[-2:], side)
    if size == tuple(image.shape[-2:]):
        return image
    shrinks = size[0] < image.shape[-2]
    return functional.interpolate(image[None], size, mode=mode, align_corners=False, antialias=shrinks)[0]


def enlarged(maps: Tensor, size: Sequence[int]) -> Tensor:
    """maps (K,h,w) or (K,C,h,w) on another grid, bilinearly."""
    values = maps if maps.dim() == 4 else maps[:, None]
    if tuple(values.shape[-2:]) != tuple(size):
        values = functional.interpolate(values, tuple(size), mode="bilinear", align_corners=False)
    return values if maps.dim() == 4 else values[:, 0]


def check_sides(sides: Sequence[int], what: str) -> list[int]:
    """The sides; ValueError unless they are one or more different numbers of pixels."""
    if not sides or min(sides) < 1 or len(set(sides)) < len(sides):
        raise ValueError(f"{what} are {list(sides)}: one or more different numbers of pixels")
    return list(sides)


def refuse_fixed_size(classifier: Classifier, who: str, sides: Sequence[int]) -> None:
    """ValueError where the network takes no pictures of the smallest side beside its own: many transformers do not."""
    others = [side for side in sides if side != classifier.side]
    if not others:
        return
    side, seen = min(others), classifier.images_seen
    pixels = torch.zeros(1, 3, side, side, device=classifier.device)
    try:
        with torch.no_grad():
            classifier.network(classifier.normalise(pixels))
    except (RuntimeError, AssertionError, ValueError, IndexError) as error:
        if "out of memory" in str(error):
            raise
        raise ValueError(
            f"{who} shows the picture at several sizes, and the network takes none of {side} x {side}: {error}"
        ) from error
    classifier.images_seen = seen
