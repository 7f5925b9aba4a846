"""Where the variations of a picture come from: the generator, or cheap stand-ins that tell what it adds.

A source is called as source(image (3,H,W) RGB in [0,1], n, seed); what it returns has at least `.pixels` and `.fields`.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class Variations(NamedTuple):
    """pixels (n,3,H,W) RGB in [0,1]; fields (n,H,W,2) int64, the (row, column) of the picture that each pixel shows."""

    pixels: Tensor
    fields: Tensor


def gpnn(**options) -> Callable:
    """Realistic variations by GPNN (Granot et al., CVPR 2022); options as in `gpnncam.variations`."""
    from gpnncam import variations  # compiles kernels on import: only who generates pays for it

    return lambda image, n, seed: variations(image, n, seed, **options)


def noise(sigma: float = 0.2) -> Callable:
    """Copies under Gaussian noise of deviation sigma ([0,1] scale, independent per pixel and channel), clipped."""

    def source(image: Tensor, n: int, seed: int) -> Variations:
        # Drawn on the CPU, so that a card changes no number.
        generator = _generator(seed)
        drawn = torch.stack([torch.randn(image.shape, generator=generator) for _ in range(n)]).to(image)
        return Variations((image + sigma * drawn).clamp(0, 1), _grid(image).expand(n, -1, -1, -1))

    return source


def flip_crop(smallest: float = 0.6) -> Callable:
    """Crops of at least `smallest` of both sides, aspect kept, resized back; every second one mirrored."""

    def source(image: Tensor, n: int, seed: int) -> Variations:
        generator = _generator(seed)
        height, width = image.shape[1:]
        drawn = torch.rand(n, 3, generator=generator, dtype=torch.float64)
        side = smallest + (1 - smallest) * drawn[:, :1]
        corner = (1 - side) * drawn[:, 1:]
        pixels, fields = [], []
        for i in range(n):
            rows = corner[i, 0] + side[i] * (torch.arange(height, dtype=torch.float64) + 0.5) / height
            columns = corner[i, 1] + side[i] * (torch.arange(width, dtype=torch.float64) + 0.5) / width
            columns = columns.flip(0) if i % 2 else columns
            y, x = torch.meshgrid(rows, columns, indexing="ij")
            where = torch.stack([2 * x - 1, 2 * y - 1], -1)[None].to(image)
            pixels.append(functional.grid_sample(image[None], where, padding_mode="border", align_corners=False)[0])
            fields.append(torch.stack([(y * height).long(), (x * width).long()], -1))
        return Variations(torch.stack(pixels), torch.stack(fields).to(image.device))

    return source


def none() -> Callable:
    """No variations: the picture itself, once, whatever n."""
    return lambda image, n, seed: Variations(image[None], _grid(image))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _grid(image: Tensor) -> Tensor:
    """The field (1,H,W,2) of a variation that is pixel by pixel the picture."""
    rows = torch.arange(image.shape[1], device=image.device)
    columns = torch.arange(image.shape[2], device=image.device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1)[None]
