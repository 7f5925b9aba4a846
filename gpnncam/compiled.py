"""Variations on the CPU: one per thread, by the compiled search of `gpnncam.patchmatch`.

Measured figures: `python -m scripts.benchmark gpnn`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from gpnncam import patchmatch
from gpnncam.levels import FEW_CHANGES, ROW, Level, Settings, first_field, noisy_start
from gpnncam.patches import from_rows, to_rows
from gpnncam.pyramid import PATCH, taps


@dataclass(frozen=True)
class _Rows:
    """A level in the padded layout of `gpnncam.patches`, with what it takes to get there from the coarser one."""

    level: Level
    values: np.ndarray
    blurred: np.ndarray | None
    taps: tuple[np.ndarray, ...]
    scale: tuple[float, float]


def _lay_out(levels: list[Level]) -> list[_Rows]:
    rows = []
    for coarser, level in zip([None, *levels], levels, strict=False):
        if coarser is None:
            rows.append(_Rows(level, to_rows(level.image), None, (), (1.0, 1.0)))
            continue
        (h0, w0, _), (h, w, _) = coarser.image.shape, level.image.shape
        rows.append(
            _Rows(level, to_rows(level.image), to_rows(level.blurred), (*taps(h0, h), *taps(w0, w)), (h / h0, w / w0))
        )
    return rows


def _completeness(query, keys, reverse, exact, step, radius, state, unit):
    """Weight of every key: 1 / (alpha + distance to its own nearest query patch), searched the other way round."""
    distances = np.empty(reverse.shape, np.int32)
    if exact:
        patchmatch.exact(keys, query, None, reverse, distances)
    else:
        for backward in (step % 2 == 1, step % 2 == 0):  # both ways: weights make mistakes here count twice
            patchmatch.sweep(keys, query, None, reverse, distances, backward, radius, state)
    return (1 / (unit + distances)).astype(np.float32)


def _vary(rows: list[_Rows], seed: int, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    top = rows[-1].values
    state = np.array([seed], np.uint64)
    total, line = np.empty_like(top), np.empty(top.shape[1] + 16, np.float32)
    unit = None if settings.alpha is None else settings.alpha * 3 * PATCH**2 * 255**2
    result = field = reverse = weight = None
    for index, here in enumerate(rows):
        level, (h, w) = here.level, here.level.grid
        query = np.zeros_like(here.values)
        steps = range(level.iterations)
        if index == 0:
            field = first_field(noisy_start(level, seed, settings), level, settings.alpha)
            reverse = np.zeros_like(field)
            patchmatch.average(field, here.values, total, query)
            steps = steps[1:]
        else:
            patchmatch.enlarge(result, *here.taps, line, query)
            coarser, field = field, np.empty((h, w), np.int32)
            patchmatch.enlarge_field(coarser, *here.scale, field)
            if unit is not None:
                coarser, reverse = reverse, np.empty((h, w), np.int32)
                patchmatch.enlarge_field(coarser, *here.scale, reverse)
        scores = np.empty((h, w), np.int32 if unit is None else np.float32)
        for step in steps:
            keys = here.blurred if index and step == 0 else here.values
            radius = max(h, w) >> (1 + step)
            if unit is not None:
                weight = _completeness(query, keys, reverse, level.exact, step, radius, state, unit)
            if level.exact:
                changed = patchmatch.exact(query, keys, weight, field, scores)
            else:
                changed = patchmatch.sweep(query, keys, weight, field, scores, step % 2 == 1, radius, state)
                if weight is not None:
                    changed += patchmatch.sweep(query, keys, weight, field, scores, step % 2 == 0, radius, state)
            patchmatch.average(field, here.values, total, query)
            if step and changed < FEW_CHANGES * h * w:
                break
        result = query
    return from_rows(result), np.stack([field >> 16, field & 65535], axis=-1)


def render(pixels: np.ndarray, field: np.ndarray) -> np.ndarray:
    """The variation (H, W, 3) uint8 of the picture `pixels` (H, W, 3) uint8 whose field (H - 6, W - 6, 2) is given."""
    values = to_rows(pixels)
    total, result = np.empty_like(values), np.empty_like(values)
    patchmatch.average((field[..., 0] * ROW + field[..., 1]).astype(np.int32), values, total, result)
    return from_rows(result)


def vary(levels: list[Level], seeds: list[int], settings: Settings, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, H, W, 3) uint8 and fields (n, H - 6, W - 6, 2) int32 of one variation per seed."""
    rows = _lay_out(levels)
    if threads <= 1 or len(seeds) <= 1:
        results = [_vary(rows, seed, settings) for seed in seeds]
    else:
        with ThreadPoolExecutor(min(threads, len(seeds)), thread_name_prefix="gpnn") as pool:
            results = list(pool.map(lambda seed: _vary(rows, seed, settings), seeds))
    return np.stack([pixels for pixels, _ in results]), np.stack([field for _, field in results])
