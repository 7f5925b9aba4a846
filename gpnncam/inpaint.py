"""Filling a removed region of a picture by GPNN, from the patches of what remains.

The way is that of a variation (`gpnncam.gpnn`), with three differences. Only whole patches, those without a removed
pixel, are sources. Only the other patches are searched for, and only removed pixels change. Each level is computed from
the remaining pixels alone (their mean under the resampling kernel), so nothing of the removed region is read at all.

    from gpnncam import fill
    result = fill(image, mask, seed=0)            # image (3, H, W) in [0, 1], mask (H, W), True where removed
    result.pixels                                 # (3, H, W) in [0, 1]
    result.field                                  # (H - 6, W - 6, 2): row, column of each patch's source patch
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from gpnncam import averages, masked
from gpnncam.gpnn import checked
from gpnncam.levels import EXACT_PATCHES, FEW_CHANGES, MIDDLE_SIDE, ROW, Settings
from gpnncam.patches import PADDING, from_rows, to_rows
from gpnncam.pyramid import PATCH, level_sizes, resample, resampler, taps

REMAINS = 0.5
"""A level's pixel remains where at least this share of its resampling weight lies on remaining pixels."""
FEWEST, ENOUGH = 16, 0.01
"""A level is searched if at least so many of its patches are whole, and so large a share; fewer repeat themselves."""
ITERATIONS = (10, 3)
"""At the first level searched and at levels of up to MIDDLE_SIDE pixels; above."""
FURTHEST = (-1500, 1500)
"""How far noise may take a value: the sum of 147 squared differences must stay below 2^31."""


class Fill(NamedTuple):
    """A picture with its removed pixels filled; for masks (n, H, W) pixels and field have n in front, sides is a list.

    Attributes:
        pixels: (3, H, W) RGB in [0, 1]. Outside the mask the picture's own values, inside it multiples of 1/255.
        field: (H - 6, W - 6, 2) int32: entry [y, x] is the (row, column) of the top left pixel of the source patch that
            fills the 7 x 7 patch at rows y..y+6, columns x..x+6. A whole patch is its own source; (-1, -1) where no
            patch of the picture is one, since its finest level was not searched.
        sides: shorter sides, in pixels, of the levels that were searched, coarsest first. A level is left out where too
            few patches are whole (FEWEST, ENOUGH): below the first one searched the region is a smooth interpolation,
            above it an enlargement of the level before. Empty where nothing is removed or no level was searched.
    """

    pixels: Tensor
    field: Tensor
    sides: list


@dataclass(frozen=True)
class _Level:
    """image (h, w, 3) whole values from what remains, float32; share (h, w) of the weight that lies on it."""

    image: np.ndarray
    share: np.ndarray


def fill(
    image: Tensor,
    mask: Tensor,
    seed: int = 0,
    *,
    sigma: float = 0.3,
    noise: str = "rgb",
    threads: int | None = None,
) -> Fill:
    """Fill a picture's removed region from patches of the rest, coarse to fine.

    Args:
        image: (3, H, W) float RGB in [0, 1], both sides at least 7. Removed pixels are not read, but must be finite.
        mask: (H, W) bool, True where removed; or (n, H, W), n regions of the one picture, filled independently.
        seed: 0 <= seed < 2^63; a fill depends on the remaining pixels, its own mask, the settings and the seed alone.
        sigma: of the noise in the region at the first level searched. 3 invents new structures; 0 continues what
            surrounds the region, and fills of different seeds then hardly differ.
        noise: as in `gpnncam.variations`.
        threads: at most so many masks at once; torch.get_num_threads() unless given. The search runs on the CPU.

    Returns:
        `Fill`: pixels (3, H, W), or (n, 3, H, W) of n masks, in [0, 1]; the source patches; the levels searched.

    Raises:
        ValueError: a mask removes everything, or an argument does not fit.

    >>> import torch
    >>> from gpnncam import fill
    >>> hole = torch.zeros(20, 24, dtype=torch.bool)
    >>> hole[5:9, 5:9] = True
    >>> tuple(fill(torch.rand(3, 20, 24), hole).pixels.shape)
    (3, 20, 24)
    """
    pixels, settings = checked(image), Settings(sigma, noise)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise ValueError(f"The mask must be a boolean tensor, True where the picture is removed, not {kind}.")
    if mask.ndim not in (2, 3) or mask.shape[-2:] != image.shape[1:] or not mask.numel():
        raise ValueError(
            f"The mask must have the picture's shape {tuple(image.shape[1:])}, or (n, H, W) with n at least 1, "
            f"not {tuple(mask.shape)}."
        )
    if not 0 <= seed < 2**63:
        raise ValueError(f"seed must be a whole number from 0 to 2^63 - 1, not {seed}.")
    holes = mask.cpu().reshape(-1, *image.shape[1:]).numpy()
    if holes.all((1, 2)).any():
        raise ValueError("The mask removes the whole picture: nothing remains to fill it from.")
    threads = min(torch.get_num_threads() if threads is None else threads, len(holes))
    if threads <= 1:
        results = [_fill(pixels, hole, seed, settings) for hole in holes]
    else:
        with ThreadPoolExecutor(threads, thread_name_prefix="fill") as pool:
            results = list(pool.map(lambda hole: _fill(pixels, hole, seed, settings), holes))
    filled, fields, sides = zip(*results, strict=True)
    filled = torch.from_numpy(np.stack(filled)).permute(0, 3, 1, 2).to(image) / 255
    filled = torch.where(mask.reshape(-1, 1, *image.shape[1:]).to(image.device), filled, image)
    fields = torch.from_numpy(np.stack(fields)).to(image.device)
    if mask.ndim == 2:
        return Fill(filled[0], fields[0], sides[0])
    return Fill(filled, fields, list(sides))


def _remaining(pixels: np.ndarray, hole: np.ndarray) -> list[_Level]:
    """The pyramid of the remaining pixels of a picture (H, W, 3), coarsest first."""
    weighted = np.empty((*hole.shape, 4))
    weighted[..., :3], weighted[..., 3] = pixels * ~hole[..., None], ~hole
    levels = []
    for size in level_sizes(*hole.shape)[:-1]:
        small = np.empty((*size, 4))
        rows, columns = (resampler(old, new) for old, new in zip(hole.shape, size, strict=True))
        masked.shrink(weighted, rows, columns, small)
        # The kernel has negative weights, so shares may lie a little outside 0..1 and colours outside 0..255.
        image = np.rint(small[..., :3] / small[..., 3:].clip(1e-3)).clip(0, 255)
        levels.append(_Level(image.astype(np.float32), small[..., 3].clip(0, 1)))
    return [*levels, _Level(weighted[..., :3].astype(np.float32), weighted[..., 3])]


def _smooth(image: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(h, w, 3) completed where share (h, w) is below 1: blended with the mean of larger blocks, and so on."""
    h, w = share.shape
    if max(h, w) == 1 or share.min() == 1:
        return image
    sums = np.zeros((h + h % 2, w + w % 2, 4))
    sums[:h, :w, :3], sums[:h, :w, 3] = image * share[..., None], share
    sums = sums.reshape(sums.shape[0] // 2, 2, sums.shape[1] // 2, 2, 4).sum((1, 3))
    half = sums[..., :3] / np.maximum(sums[..., 3:], 1e-6)
    large = resample(_smooth(half, np.minimum(sums[..., 3], 1)), h, w)
    return np.rint(large + share[..., None] * (image - large))


def _fill(pixels: np.ndarray, hole: np.ndarray, seed: int, settings: Settings) -> tuple[np.ndarray, np.ndarray, list]:
    """Pixels (H, W, 3) uint8, field (H - 6, W - 6, 2) int32 and the sides searched, for hole (H, W) bool."""
    climb, levels = _Climb(seed, settings), _remaining(pixels, hole)
    for level in levels:
        climb.step(level)
    rows, columns = np.indices((hole.shape[0] - PATCH + 1, hole.shape[1] - PATCH + 1), dtype=np.int32)
    field = np.stack([rows, columns], -1)
    if climb.touched.any():
        places = np.stack([climb.field >> 16, climb.field & (ROW - 1)], -1) if climb.searched else np.int32(-1)
        field = np.where(climb.touched[..., None], places, field)
    return from_rows(climb.result), field, climb.sides


class _Climb:
    """One fill on its way up the levels.

    result: the latest level, in the padded layout. touched (rows, columns): its patches that are not whole. field
    (rows, columns): packed places at the latest level searched, of which `searched` says whether it is the latest.
    """

    def __init__(self, seed: int, settings: Settings):
        self.settings = settings
        self.draw, self.state = np.random.Generator(np.random.Philox(seed)), np.array([seed], np.uint64)
        self.result = self.field = self.touched = None
        self.searched = False
        self.sides: list[int] = []

    def step(self, level: _Level) -> None:
        """Complete the next level: what remains of it as it is, the rest from the level before or from patches."""
        hole = level.share < REMAINS
        self.touched = np.empty((hole.shape[0] - PATCH + 1, hole.shape[1] - PATCH + 1), np.int8)
        whole = masked.touch(hole.view(np.int8), self.touched)
        coarse = self._enlarged(level)
        query = np.zeros_like(coarse)
        masked.complete(coarse, level.image, level.share, hole, query)
        self.searched = max(FEWEST, ENOUGH * self.touched.size) <= whole < self.touched.size
        if self.searched:
            self._search(level, hole, coarse, query)
            self.sides.append(min(hole.shape))
        self.result = query

    def _enlarged(self, level: _Level) -> np.ndarray:
        """The result of the level before at this level's size; at the coarsest a smooth interpolation."""
        if self.result is None:
            return to_rows(_smooth(level.image, level.share))
        (h, w), (h0, w0) = level.share.shape, _size(self.result)
        line, query = np.empty(self.result.shape[1] + 16, np.float32), to_rows(np.zeros((h, w, 3)))
        averages.enlarge(self.result, *taps(h0, h), *taps(w0, w), line, query)
        return query

    def _search(self, level: _Level, hole: np.ndarray, coarse: np.ndarray, query: np.ndarray) -> None:
        """Replace the removed pixels of `query`, in place, by whole patches' averages; `coarse` is the enlargement."""
        touched, first = self.touched, self.field is None
        if first:
            self.field = self.draw.choice(_places(touched), touched.shape)
            noise = self.draw.standard_normal((*hole.shape, 3 if self.settings.noise == "rgb" else 1))
            colours = query[:, :-PADDING].reshape(*hole.shape, 3)
            noisy = np.rint(colours + 255 * self.settings.sigma * noise).clip(*FURTHEST)
            query[:, :-PADDING] = np.where(hole[..., None], noisy, colours).reshape(len(hole), -1)
        else:
            coarser, self.field = self.field, np.empty(touched.shape, np.int32)
            scale = (new / (old + PATCH - 1) for new, old in zip(hole.shape, coarser.shape, strict=True))
            averages.enlarge_field(coarser, *scale, self.field)
        masked.settle(self.field, touched)
        values, total, removed = to_rows(level.image), np.empty_like(query), hole.view(np.int8)
        for step in range(ITERATIONS[0] if first or min(hole.shape) <= MIDDLE_SIDE else ITERATIONS[1]):
            # What comes from the coarser level is blurred, and so are the patches that it is compared with.
            blurred = step == 0 and not first
            pair = (coarse, coarse) if blurred else (query, values)
            if touched.size <= EXACT_PATCHES:
                changed = masked.nearest(*pair, touched, self.field)
            else:
                radius = max(touched.shape) >> (1 + step)
                changed = masked.sweep(*pair, touched, self.field, step % 2 == 1, radius, self.state)
            masked.average(self.field, touched, removed, values, total, query)
            if step and changed < FEW_CHANGES * touched.sum():
                break


def _places(touched: np.ndarray) -> np.ndarray:
    """Packed places of the whole patches."""
    rows, columns = np.nonzero(touched == 0)
    return (rows * ROW + columns).astype(np.int32)


def _size(rows: np.ndarray) -> tuple[int, int]:
    """Height and width of a picture in the padded layout."""
    return rows.shape[0], (rows.shape[1] - PADDING) // 3
