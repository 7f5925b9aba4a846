"""GPNN (Granot et al., CVPR 2022, arXiv 2103.15545): one picture in, realistic variations of it out.

The picture's pyramid goes from a coarsest level of 14 pixels up in steps of about 4/3. The coarsest level plus noise
is the first query; at every level each 7 x 7 patch of the query is replaced by its nearest source patch, overlaps are
averaged, and after some iterations the result is enlarged to be the query of the next level. The search is
PatchMatch started from the coarser level's field, exact on the coarsest levels. A variation that turns out a copy of
the picture while it is still small starts again from other noise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import numpy as np
import torch

from gpnncam.cache import Cache
from gpnncam.levels import MIDDLE_SIDE, Settings, expand_seed, prepare
from gpnncam.pyramid import PATCH


class Variations(NamedTuple):
    """Variations of one picture.

    Attributes:
        pixels: (n, 3, H, W) float32 RGB in [0, 1], multiples of 1/255, on the picture's device.
        fields: (n, H - 6, W - 6, 2) int32: entry [i, y, x] is the (row, column), from the top left corner of the
            picture, of the top-left pixel of the source patch that fills the 7 x 7 patch at rows y..y+6, columns
            x..x+6.
        seeds: the seed of each variation, which alone reproduces it (`variations(image, seeds=[...])`).
    """

    pixels: torch.Tensor
    fields: torch.Tensor
    seeds: list[int]


def checked(image: torch.Tensor) -> np.ndarray:
    """(3, H, W) in [0, 1] -> (H, W, 3) uint8, or ValueError saying what is wrong with it."""
    if not isinstance(image, torch.Tensor) or not image.is_floating_point():
        kind = image.dtype if isinstance(image, torch.Tensor) else type(image).__name__
        raise ValueError(f"The picture must be a floating-point tensor in [0, 1], not {kind}.")
    if image.ndim != 3 or image.shape[0] != 3:
        raise ValueError(
            f"The picture must have shape (3, H, W), RGB, not {tuple(image.shape)}; "
            "a grey one is repeated over the colours first: image.expand(3, -1, -1)."
        )
    height, width = image.shape[1:]
    if min(height, width) < PATCH:
        raise ValueError(f"The picture is {height} x {width} pixels; a patch alone is {PATCH} x {PATCH}.")
    if max(height, width) > 32767:
        raise ValueError(f"The picture is {height} x {width} pixels; at most 32767 a side can be searched.")
    image = image.detach().to("cpu", torch.float32)
    low, high = image.aminmax()
    if not (torch.isfinite(low) and torch.isfinite(high)):
        raise ValueError("The picture holds NaN or infinite values.")
    if low < -1e-3 or high > 1 + 1e-3:
        raise ValueError(f"The picture's values must lie in [0, 1]; they go from {low:.4g} to {high:.4g}.")
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def variations(
    image: torch.Tensor,
    n: int | None = None,
    seed: int | None = None,
    *,
    seeds: Sequence[int] | None = None,
    sigma: float = 3.0,
    noise: str = "rgb",
    alpha: float | None = 0.0005,
    alpha_unit: str = "mean_square",
    alpha_side: int | None = MIDDLE_SIDE,
    iterations: Sequence[int] = (1, 6, 3),
    search: str = "fast",
    cache: str | os.PathLike | Cache | bool | None = None,
    threads: int | None = None,
    device: str | torch.device | None = None,
) -> Variations:
    """Realistic variations of a picture.

    As published: alpha=0.005, alpha_unit="euclidean", alpha_side=None, iterations=(10, 10, 10), sigma=0.75,
    noise="grey".

    Args:
        image: (3, H, W) float RGB in [0, 1], both sides at least 7; rounded to 8 bits first.
        n: how many; a larger n only adds variations.
        seed: one seed per variation is drawn from it.
        seeds: instead of n and seed, each variation's own seed (0 <= seed < 2^63). A variation depends on the picture,
            the settings and its own seed alone, never on the others, the order or the threads.
        sigma: standard deviation, on the scale of [0, 1], of the Gaussian noise on the coarsest level.
        noise: drawn per colour ("rgb") or shared by the three ("grey").
        alpha: None compares patches by squared distance; a number by GPNN's completeness score
            D(q, k) / (alpha + min over q' of D(q', k)), values in [0, 1].
        alpha_unit: D is the mean of the 147 squared differences ("mean_square") or the root of their sum ("euclidean").
            The publication's 0.005 is "euclidean" in the official program; as "mean_square" it would stand for a
            distance of (147 x 0.005)^(1/2) = 0.86, 170 times as large.
        alpha_side: the completeness score holds on levels whose shorter side is at most this many pixels; None: on all.
            The coarse levels decide what a variation shows; the score costs two searches instead of one.
        iterations: at the coarsest level, at levels of up to 41 pixels, above. Fewer where less than 1 % still changes.
        search: "fast", or "exact" at every level (a yardstick: hundreds of times slower).
        cache: a folder (or `gpnncam.cache.Cache`) that keeps variations between calls; None, False or "off" for none.
        threads: at most so many variations at once; torch.get_num_threads() unless given.
        device: where the search runs, "cpu" or a CUDA device; the picture's own unless given. Both use the same
            algorithm and noise, but other random probes: their variations of one seed differ in detail.

    Returns:
        `Variations`: pixels (n, 3, H, W) in [0, 1], the fields of their source patches, and their seeds.

    Raises:
        ValueError: names the argument that does not fit.

    >>> import torch
    >>> from gpnncam import variations
    >>> made = variations(torch.rand(3, 20, 24), n=2, seed=0)
    >>> tuple(made.pixels.shape), tuple(made.fields.shape)
    ((2, 3, 20, 24), (2, 14, 18, 2))
    """
    pixels = checked(image)
    settings = Settings(sigma, noise, alpha, iterations, search, alpha_unit, alpha_side)
    if (seeds is None) == (n is None or seed is None):
        raise ValueError("Give either n and seed, or seeds.")
    if seeds is None:
        assert n is not None
        assert seed is not None
        if n < 1 or seed < 0:
            raise ValueError(f"n must be at least 1 and seed at least 0; they are {n} and {seed}.")
        seeds = expand_seed(seed, n)
    seeds = [int(s) for s in seeds]
    if not seeds or any(not 0 <= s < 2**63 for s in seeds):
        raise ValueError("seeds must be a non-empty list of whole numbers from 0 to 2^63 - 1.")
    if threads is None:
        threads = torch.get_num_threads()

    device = torch.device(image.device if device is None else device)
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f'Variations are made on "cpu" or "cuda", not on {str(device)!r}; pass device="cpu".')
    if cache in (None, False, "off"):
        store = None
    else:
        store = cache if isinstance(cache, Cache) else Cache(cast("str | os.PathLike", cache))
    result, fields = _make(pixels, settings, seeds, threads, device, store)
    result = result.to(image.device).permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()
    return Variations(result, fields.to(image.device), seeds)


def _make(
    pixels: np.ndarray, settings: Settings, seeds: Sequence[int], threads: int, device: torch.device, store: Any
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (n,H,W,3) uint8 and fields (n,H-6,W-6,2) int32, each distinct seed once."""
    if device.type == "cpu" or store:
        from gpnncam import compiled  # numba takes a second to import

    distinct = list(dict.fromkeys(seeds))
    made: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    if store:
        key = store.key(pixels, settings, device.type)
        kept = {seed: store.get(key, seed, pixels.shape) for seed in distinct}
        made = {seed: (compiled.render(pixels, field), field) for seed, field in kept.items() if field is not None}
    missing = [seed for seed in distinct if seed not in made]
    if missing:
        levels = prepare(pixels, settings)
        results: tuple[np.ndarray, np.ndarray] | tuple[torch.Tensor, torch.Tensor]
        if device.type == "cpu":
            results = compiled.vary(levels, missing, settings, threads)
        else:
            from gpnncam import batched

            results = batched.vary(levels, missing, settings, device)
        if len(missing) == len(seeds) and not store:
            return torch.as_tensor(results[0]), torch.as_tensor(results[1])
        images, fields = (torch.as_tensor(part).cpu().numpy() for part in results)
        for seed, image, field in zip(missing, images, fields, strict=True):
            made[seed] = image, field
            if store:
                store.put(key, seed, field)
    whole = [torch.from_numpy(np.stack([made[seed][part] for seed in seeds])) for part in (0, 1)]
    return whole[0], whole[1]
