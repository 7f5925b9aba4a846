"""The mean of any method's maps over changed copies of the picture: noisy, mirrored, cropped, or of other sizes."""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from baselines.contract import Classifier


def seeing(classifier: Classifier, inner: Mapping) -> Callable[[Tensor, Tensor], Tensor]:
    """The method that a YAML states (name, blind, build); ValueError where it does not look at the picture."""
    if not isinstance(inner, Mapping) or "build" not in inner:
        raise ValueError(f"inner={inner!r} is no method")
    if inner.get("blind"):
        raise ValueError(f"{inner.get('name', 'the method')} does not look at the picture: copies change nothing")
    build = inner["build"]
    return build(classifier=classifier) if inspect.isclass(build.func) else partial(build, classifier=classifier)


class View(NamedTuple):
    """pixels (3,h,w): a part of the picture as the method sees it. part: top, left, height, width in the picture's
    pixels. mirrored: left to right."""

    pixels: Tensor
    part: tuple[int, int, int, int]
    mirrored: bool


class Ensemble:
    """Mean of M(x_i), where x_i are copies of the picture x and M is another method; the maps are carried back.

    With noise and a gradient inside it is SmoothGrad (Smilkov et al., 2017, eq. 1). A method that has signed values
    before its channels join (`raw` and `finish`) is averaged there, where noise cancels out.

    Args:
        inner: the method, as its YAML states it (name, blind, build).
        n: noisy copies; 0: the picture itself, without noise.
        sigma: deviation of the noise, as a share of the picture's range of values; it is drawn from torch's generator.
        flip: each copy is also seen mirrored left to right.
        scales: sides at which each copy is seen, as shares of the given ones; above 1 nothing is added but
            interpolation.
        crops: parts of at least `smallest` of both sides beside each copy, aspect kept, enlarged to its size, every
            second one mirrored. Then maps stand on the picture's pixels, each of which takes the mean of the parts that
            show it.
        smallest: share of both sides that a crop keeps at least.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(
        self,
        classifier: Classifier,
        inner: Mapping,
        n: int = 0,
        sigma: float = 0.15,
        flip: bool = False,
        scales: Sequence[float] = (1.0,),
        crops: int = 0,
        smallest: float = 0.6,
    ):
        self.inner = seeing(classifier, inner)
        if n < 0 or sigma < 0 or (n and not sigma):
            raise ValueError("an ensemble needs n >= 0, and noise (sigma > 0) where n > 0")
        if not scales or min(scales) <= 0 or len(set(scales)) < len(scales):
            raise ValueError(f"scales={list(scales)}: one or more different shares of the side, above 0")
        if crops < 0 or not 0 < smallest <= 1:
            raise ValueError(f"an ensemble needs crops >= 0 of 0 < smallest <= 1, not {crops} of {smallest}")
        if not n and not flip and not crops and list(scales) == [1.0]:
            raise ValueError("an ensemble of one picture: set n (noisy copies), flip=true, scales, crops, or several")
        self.n, self.sigma, self.flip = n, sigma, flip
        self.scales, self.crops, self.smallest = tuple(scales), crops, smallest

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w) on the inner method's finest grid, with crops on the
        picture's pixels."""
        method = getattr(self.inner, "raw", self.inner)
        sums: dict[torch.Size, Tensor] = {}  # by grid: what is of one grid is enlarged once
        shown = torch.zeros((), device=image.device)
        for view in self.views(image):
            maps = method(view.pixels, targets)
            maps = maps.flip(-1) if view.mirrored else maps
            if self.crops:
                maps, seen = _placed(maps, view.part, image.shape[-2:])
                shown = shown + seen
            else:
                shown = shown + 1
            sums[maps.shape] = sums[maps.shape] + maps if maps.shape in sums else maps
        finest = max((shape[-2:] for shape in sums), key=lambda size: size[0] * size[1])
        total = torch.stack([_resized(each, finest) for each in sums.values()]).sum(0)
        return getattr(self.inner, "finish", lambda maps: maps)(total / shown)

    def views(self, image: Tensor) -> Iterator[View]:
        """All copies of image (3,H,W) that the method sees."""
        height, width = image.shape[-2:]
        whole = (0, 0, height, width)
        for _ in range(max(self.n, 1)):
            copy = self.noisy(image) if self.n else image
            for scale in self.scales:
                size = max(1, round(scale * height)), max(1, round(scale * width))
                seen = _sized(copy, size)
                yield View(seen, whole, mirrored=False)
                if self.flip:
                    yield View(seen.flip(-1), whole, mirrored=True)
            drawn = torch.rand(self.crops, 3, dtype=torch.float64).tolist() if self.crops else ()
            for number, (share, down, right) in enumerate(drawn):
                share = self.smallest + (1 - self.smallest) * share
                rows, columns = max(1, round(share * height)), max(1, round(share * width))
                top, left = round(down * (height - rows)), round(right * (width - columns))
                part = _sized(copy[:, top : top + rows, left : left + columns], (height, width))
                mirrored = bool(number % 2)
                yield View(part.flip(-1) if mirrored else part, (top, left, rows, columns), mirrored)

    def noisy(self, image: Tensor) -> Tensor:
        """image (3,H,W) with Gaussian noise; it may leave [0,1]."""
        deviation = self.sigma * (image.max() - image.min())
        return image + deviation * torch.randn(image.shape).to(image)


def _sized(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Pixels (3,h,w) of another size; an average where they shrink."""
    if tuple(pixels.shape[-2:]) == size:
        return pixels
    return functional.interpolate(pixels[None], size, mode="bilinear", align_corners=False, antialias=True)[0]


def _resized(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Maps (K,h,w), or signed values (K,C,h,w), on another grid."""
    if maps.shape[-2:] == torch.Size(size):
        return maps
    values = maps if maps.dim() == 4 else maps[:, None]
    values = functional.interpolate(values, tuple(size), mode="bilinear", align_corners=False)
    return values if maps.dim() == 4 else values[:, 0]


def _placed(maps: Tensor, part: tuple[int, int, int, int], size: Sequence[int]) -> tuple[Tensor, Tensor]:
    """Maps of a part of the picture on all of its pixels, 0 elsewhere; and (H,W) 1 where the part lies."""
    top, left, rows, columns = part
    canvas = maps.new_zeros(*maps.shape[:-2], *size)
    canvas[..., top : top + rows, left : left + columns] = _resized(maps, (rows, columns))
    seen = maps.new_zeros(*size)
    seen[top : top + rows, left : left + columns] = 1
    return canvas, seen
