"""Where the variations of a picture come from: the generator, cheap substitutes to compare with, or your own."""

import importlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional


class Varied(Protocol):
    """What a source returns.

    pixels: (n,3,H,W) RGB in [0,1].
    fields: for each of the n an (h,w,2) whole-number tensor of (row, column): the top left pixel of the patch of the
        picture that the variation's patch at that place shows, for patches of H - h + 1 pixels a side (h = H: single
        pixels). Needed for GPNN-CAM's `source_vote` alone.
    """

    @property
    def pixels(self) -> Tensor:
        """(n,3,H,W)."""
        ...

    @property
    def fields(self) -> Tensor | Sequence[Tensor | None]:
        """(n,h,w,2), or n of (h,w,2)."""
        ...


class Source(Protocol):
    """source(image, n, seed) -> n variations of image (3,H,W) RGB in [0,1].

    They depend on the picture and the seed (0 <= seed < 2^63) alone, and the first m of n are the m of m.
    """

    def __call__(self, image: Tensor, n: int, seed: int) -> Varied:
        """n variations of image (3,H,W)."""
        ...


class Variations(NamedTuple):
    """pixels (n,3,H,W) RGB in [0,1]; fields (n,H,W,2) int64, the (row, column) of the picture that each pixel shows."""

    pixels: Tensor
    fields: Tensor


class Combined(NamedTuple):
    """pixels (n,3,H,W); fields, n tensors whose patches may differ in size (None from a part that has no fields)."""

    pixels: Tensor
    fields: list[Tensor | None]


def combine(parts: Sequence[Source]) -> Source:
    """Variations of k parts by turns, so that each has an equal share of n; a part named twice has two shares.

    Part i gets the seed plus i: the first part's variations are the first ones that it makes alone.
    """

    def source(image: Tensor, n: int, seed: int) -> Combined:
        pixels = image.new_empty(n, *image.shape)
        fields: list[Tensor | None] = [None] * n
        for i, part in enumerate(parts[:n]):
            turns = range(i, n, len(parts))
            made = checked(part(image, len(turns), (seed + i) % 2**63), image, len(turns))
            pixels[i :: len(parts)] = made.pixels.to(image)
            fields[i :: len(parts)] = getattr(made, "fields", [None] * len(turns))
        return Combined(pixels, fields)

    return source


def checked(made: Varied, image: Tensor, n: int) -> Varied:
    """What a source returned for image (3,H,W), if it is n pictures of that size; ValueError otherwise."""
    pixels = getattr(made, "pixels", None)
    if not isinstance(pixels, Tensor) or pixels.shape != (n, *image.shape):
        got = f"pixels {tuple(pixels.shape)}" if isinstance(pixels, Tensor) else f"{type(made).__name__} without any"
        raise ValueError(f"the source returned {got}; its `.pixels` must be a tensor {(n, *image.shape)}")
    return made


def named(name: str) -> Source:
    """The function of a dotted name, `module.function`; ValueError saying what of it is not there."""
    module, _, function = name.rpartition(".")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there, but something that it imports is not
        raise ValueError(f"source is {name!r}, but there is no module {error.name!r} on the Python path") from error
    maker = getattr(loaded, function, None)
    if not callable(maker):
        raise ValueError(f"source is {name!r}, but module {module!r} has no function {function!r}")
    return maker


def gpnn(**options: Any) -> Source:
    """Realistic variations by GPNN (Granot et al., CVPR 2022); options as in `gpnncam.variations`."""
    from gpnncam import variations  # compiles kernels on import: only who generates pays for it

    return lambda image, n, seed: variations(image, n, seed, **options)


def noise(sigma: float = 0.2) -> Source:
    """Copies under Gaussian noise of deviation sigma ([0,1] scale, independent per pixel and channel), clipped."""

    def source(image: Tensor, n: int, seed: int) -> Variations:
        # Drawn on the CPU, so that a card changes no number.
        generator = _generator(seed)
        drawn = torch.stack([torch.randn(image.shape, generator=generator) for _ in range(n)]).to(image)
        return Variations((image + sigma * drawn).clamp(0, 1), _grid(image).expand(n, -1, -1, -1))

    return source


def flip_crop(smallest: float = 0.6) -> Source:
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


def none() -> Source:
    """No variations: the picture itself, once, whatever n."""
    return lambda image, n, seed: Variations(image[None], _grid(image))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _grid(image: Tensor) -> Tensor:
    """The field (1,H,W,2) of a variation that is pixel by pixel the picture."""
    rows = torch.arange(image.shape[1], device=image.device)
    columns = torch.arange(image.shape[2], device=image.device)
    return torch.stack(torch.meshgrid(rows, columns, indexing="ij"), -1)[None]
