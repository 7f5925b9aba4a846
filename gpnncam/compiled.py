"""Variations on the CPU: one per thread, by the compiled search of `gpnncam.patchmatch`.

Measured figures: `python -m scripts.maintain.benchmark gpnn`.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from gpnncam import averages, patchmatch
from gpnncam.levels import (
    FEW_CHANGES,
    ROW,
    Level,
    Settings,
    attempts,
    coarse,
    completeness,
    first_field,
    is_copy,
    noisy_start,
)
from gpnncam.patches import from_rows, to_rows
from gpnncam.pyramid import taps


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


def _weigh(
    query: np.ndarray,
    keys: np.ndarray,
    reverse: np.ndarray,
    exact: bool,
    step: int,
    radius: int,
    state: np.ndarray,
    settings: Settings,
) -> np.ndarray:
    """Weight of every key by the distance to its own nearest query patch, which is searched the other way round."""
    distances = np.empty(reverse.shape, np.int32)
    if exact:
        patchmatch.exact(keys, query, None, reverse, distances)
    else:
        for backward in (step % 2 == 1, step % 2 == 0):  # both ways: weights make mistakes here count twice
            patchmatch.sweep(keys, query, None, reverse, distances, backward, radius, state)
    return (1 / completeness(distances, settings)).astype(np.float32)


class _Search:
    """One variation on its way up the levels: `result` in the padded layout, its `field`, and the field backwards."""

    def __init__(self, rows: list[_Rows], seed: int, settings: Settings):
        top = rows[-1].values
        self.rows, self.seed, self.settings = rows, seed, settings
        self.state = np.array([seed], np.uint64)
        self.total, self.line = np.empty_like(top), np.empty(top.shape[1] + 16, np.float32)
        self.result = self.field = self.reverse = None

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """Pixels (H, W, 3) uint8 and field (H - 6, W - 6, 2) int32."""
        few = coarse([here.level for here in self.rows])
        for attempt in attempts(self.settings):
            self._start(attempt)
            for here in self.rows[1:few]:
                self._climb(here)
            if not is_copy(self.field):
                break
        for here in self.rows[few:]:
            self._climb(here)
        return from_rows(self.result), np.stack([self.field >> 16, self.field & 65535], axis=-1)

    def _start(self, attempt: int) -> None:
        here, settings = self.rows[0], self.settings
        query = np.zeros_like(here.values)
        start = noisy_start(here.level, self.seed, settings, attempt)
        self.field = first_field(start, here.level, settings)
        self.reverse = np.zeros_like(self.field)
        averages.average(self.field, here.values, self.total, query)
        self._improve(here, query, range(1, here.level.iterations), first=True)

    def _climb(self, here: _Rows) -> None:
        query, grid = np.zeros_like(here.values), here.level.grid
        averages.enlarge(self.result, *here.taps, self.line, query)
        coarser, self.field = self.field, np.empty(grid, np.int32)
        averages.enlarge_field(coarser, *here.scale, self.field)
        if here.level.complete:
            coarser, self.reverse = self.reverse, np.empty(grid, np.int32)
            averages.enlarge_field(coarser, *here.scale, self.reverse)
        self._improve(here, query, range(here.level.iterations))

    def _improve(self, here: _Rows, query: np.ndarray, steps: range, first: bool = False) -> None:
        level, (h, w) = here.level, here.level.grid
        scores = np.empty((h, w), np.float32 if level.complete else np.int32)
        weight = averaged = None
        for step in steps:
            keys = here.values if first or step else here.blurred
            radius = max(h, w) >> (1 + step)
            if level.complete:
                weight = _weigh(query, keys, self.reverse, level.exact, step, radius, self.state, self.settings)
            if level.exact:
                changed = patchmatch.exact(query, keys, weight, self.field, scores)
            else:
                changed = patchmatch.sweep(query, keys, weight, self.field, scores, step % 2 == 1, radius, self.state)
                if weight is not None:
                    changed += patchmatch.sweep(
                        query, keys, weight, self.field, scores, step % 2 == 0, radius, self.state
                    )
            if averaged is None:
                averages.average(self.field, here.values, self.total, query)
                averaged = self.field.copy()
            elif changed:
                averages.average_again(averaged, self.field, here.values, self.total, query)
                averaged[:] = self.field
            if step and changed < FEW_CHANGES * h * w:
                break
        self.result = query


def render(pixels: np.ndarray, field: np.ndarray) -> np.ndarray:
    """The variation (H, W, 3) uint8 of the picture `pixels` (H, W, 3) uint8 whose field (H - 6, W - 6, 2) is given."""
    values = to_rows(pixels)
    total, result = np.empty_like(values), np.empty_like(values)
    averages.average((field[..., 0] * ROW + field[..., 1]).astype(np.int32), values, total, result)
    return from_rows(result)


def vary(levels: list[Level], seeds: list[int], settings: Settings, threads: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (n, H, W, 3) uint8 and fields (n, H - 6, W - 6, 2) int32 of one variation per seed."""
    rows = _lay_out(levels)
    if threads <= 1 or len(seeds) <= 1:
        results = [_Search(rows, seed, settings).run() for seed in seeds]
    else:
        with ThreadPoolExecutor(min(threads, len(seeds)), thread_name_prefix="gpnn") as pool:
            results = list(pool.map(lambda seed: _Search(rows, seed, settings).run(), seeds))
    return np.stack([pixels for pixels, _ in results]), np.stack([field for _, field in results])
