"""Variations on a graphics card: all of them at once, in plain torch. On CPU tensors it checks the compiled search.

PatchMatch without a scan order: each iteration offers every patch the continuations of its neighbours' sources, near
and far, and two random sources, and keeps the best. The coarsest levels are searched exactly by a matrix product.

Count for 100 variations at 224 x 224 (unmeasured on a card): a candidate at the finest level costs, per patch, one
gathered row of 147 half-precision values, one difference and one norm: 294 bytes written twice and read four times,
1.8 kB, times 4.75 million patches = 8.4 GB, 2 ms at 4 TB/s. 11 candidates, 3 iterations: 60 ms; all levels together
have 2.35 times the patches: 0.15 s. Exact search on the coarse levels: 100 x 676^2 x 147 x 2 = 13 GFLOP an iteration,
below 1 ms. Launches: about 11 levels x 4 iterations x 11 candidates x 12 kernels = 6,000, at 8 us 0.05 s. An exact
search everywhere would take (47,524^2 x 147 x 2) x 3 x 1.5 = 3 TFLOP per variation, 300 for 100: some 6 s in float32.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

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
from gpnncam.pyramid import PATCH, resampler

CHUNK = 1 << 26
"""Most values of patches (or of a distance matrix) held at once."""
GROUP = 1 << 30
"""Most values of the patches of the variations that go together: 150 at 224 x 224, 2 GB in half precision."""
JUMPS = (4, 1)


def _unfold(images: Tensor) -> Tensor:
    """(B,3,h,w) -> (B, patches, 147)."""
    return functional.unfold(images, PATCH).transpose(1, 2).contiguous()


def _average(values: Tensor, field: Tensor, counts: Tensor) -> Tensor:
    """Put patch field[b, i] of values (patches,147) in place i and average the overlaps: (B,3,h,w) whole values."""
    height, width = counts.shape
    parts = []
    for part in field.split(max(1, CHUNK // (values.numel() or 1))):
        columns = values[part].float().transpose(1, 2)
        parts.append(functional.fold(columns, (height, width), PATCH))
    return (torch.cat(parts) / counts + 0.5).floor()


def _exact(query: Tensor, keys: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Nearest key of each query patch by the whole distance matrix, in chunks: index (B,L) and score (B,L).

    query (B or 1, L, 147), keys (B or 1, K, 147), weight (B,K). Values are centred first: whole numbers of at most 128
    make every sum one below 2^24, so float32 holds the distances exactly.
    """
    batch = max(len(query), len(keys))
    query, keys = query.float() - 128, keys.float() - 128
    lengths = keys.square().sum(-1)
    nearest, scores = [], []
    for b in range(batch):
        q, k, size = query[b % len(query)], keys[b % len(keys)], lengths[b % len(keys)]
        for part in q.split(max(1, CHUNK // len(k))):
            distance = torch.addmm(size[None] + part.square().sum(-1, keepdim=True), part, k.T, alpha=-2)
            if weight is not None:
                distance *= weight[b]
            best = distance.argmin(1)
            nearest.append(best)
            scores.append(distance.gather(1, best[:, None])[:, 0])
    return torch.cat(nearest).view(batch, -1), torch.cat(scores).view(batch, -1)


def _scores(query: Tensor, keys: Tensor, weight: Tensor | None, field: Tensor) -> Tensor:
    """Score (B,L) of the key patches field (B,L); shapes as in `_exact`."""
    batch = torch.arange(len(field), device=field.device)[:, None]
    flat_keys = keys.reshape(-1, keys.shape[-1])
    result = torch.empty(field.shape, device=field.device)
    step = max(1, CHUNK // (len(field) * keys.shape[-1]))
    for start in range(0, field.shape[1], step):
        here = slice(start, start + step)
        places = field[:, here] if len(keys) == 1 else field[:, here] + batch * keys.shape[1]
        difference = query[:, here] - flat_keys[places]
        result[:, here] = torch.linalg.vector_norm(difference, dim=-1, dtype=torch.float32).square()
    return result if weight is None else result * weight.gather(1, field)


def _random(seeds: Tensor, count: int, salt: int) -> Tensor:
    """(2, n, count) in [0, 1): drawn from each seed (n,) alone, whatever the other seeds (splitmix64 of a counter)."""
    counter = torch.arange(2 * count, device=seeds.device).view(2, 1, count) + (salt << 40)
    bits = seeds[:, None] + counter * -0x61C8864680B583EB
    for shift, factor in ((30, -0x40A7B892E31B1A47), (27, -0x6B2FB644ECCEEE15)):
        bits = (bits ^ ((bits >> shift) & ((1 << (64 - shift)) - 1))) * factor
    return ((bits >> 40) & 0xFFFFFF).float() / 0x1000000


def _search(
    query: Tensor,
    keys: Tensor,
    weight: Tensor | None,
    field: Tensor,
    grid: tuple[int, int],
    radius: int,
    seeds: Tensor,
    salt: int,
) -> tuple[Tensor, Tensor]:
    """One iteration of PatchMatch: field (B,L) of indices into the keys, improved, and its scores."""
    rows, columns = grid
    best = _scores(query, keys, weight, field)

    def offer(row: Tensor, column: Tensor) -> None:
        nonlocal field, best
        other = (row.clamp(0, rows - 1) * columns + column.clamp(0, columns - 1)).reshape(field.shape)
        score = _scores(query, keys, weight, other)
        better = score < best
        field, best = torch.where(better, other, field), torch.where(better, score, best)

    for jump in JUMPS:
        for dy, dx in ((0, jump), (jump, 0), (0, -jump), (-jump, 0)):
            if abs(dy) >= rows or abs(dx) >= columns:
                continue
            moved = field.view(-1, rows, columns).roll((dy, dx), (1, 2))
            offer(moved // columns + dy, moved % columns + dx)
    for probe, reach in enumerate((radius, int(radius**0.5) + 1)):
        row, column = field // columns, field % columns
        draw = _random(seeds, field.shape[1], 2 * salt + probe)
        low_row, low_column = (row - reach).clamp(min=0), (column - reach).clamp(min=0)
        span_row = (row + reach).clamp(max=rows - 1) - low_row + 1
        span_column = (column + reach).clamp(max=columns - 1) - low_column + 1
        offer(low_row + (draw[0] * span_row).long(), low_column + (draw[1] * span_column).long())
    return field, best


def _enlarge(images: Tensor, h: int, w: int) -> Tensor:
    """(B,3,h0,w0) -> (B,3,h,w), bicubic, rounded to whole values in 0..255."""
    rows, columns = (
        torch.from_numpy(np.array(resampler(a, b))).to(images.device)
        for a, b in zip(images.shape[2:], (h, w), strict=True)
    )
    return (rows @ images @ columns.T).clamp(0, 255).add(0.5).floor()


def _enlarge_field(field: Tensor, coarser: tuple[int, int], grid: tuple[int, int]) -> Tensor:
    """The coarser level's field (B,L0) enlarged to (B,L): a patch keeps its source's offset from its own place."""
    device, half = field.device, PATCH / 2
    places, scales, nearest = [], [], []
    for old, new in zip(coarser, grid, strict=True):
        scale = (new + PATCH - 1) / (old + PATCH - 1)
        place = torch.arange(new, device=device)
        places.append(place)
        scales.append(scale)
        nearest.append(((place + half) / scale - half + 0.5).floor().long().clamp(0, old - 1))
    source = field.view(-1, *coarser)[:, nearest[0]][:, :, nearest[1]]
    offset_row = source // coarser[1] - nearest[0][:, None]
    offset_column = source % coarser[1] - nearest[1]
    row = places[0][:, None] + (offset_row * scales[0] + 0.5).floor().long()
    column = places[1] + (offset_column * scales[1] + 0.5).floor().long()
    return (row.clamp(0, grid[0] - 1) * grid[1] + column.clamp(0, grid[1] - 1)).flatten(1)


def vary(levels: list[Level], seeds: list[int], settings: Settings, device: torch.device) -> tuple[Tensor, Tensor]:
    """Pixels (n, H, W, 3) uint8 and fields (n, H - 6, W - 6, 2) int32, on `device`, of one variation per seed."""
    rows, columns = levels[-1].grid
    group = max(1, GROUP // (3 * PATCH**2 * rows * columns))
    parts = [_vary(levels, seeds[i : i + group], settings, device) for i in range(0, len(seeds), group)]
    return torch.cat([pixels for pixels, _ in parts]), torch.cat([fields for _, fields in parts])


def _vary(levels: list[Level], seeds: list[int], settings: Settings, device: torch.device) -> tuple[Tensor, Tensor]:
    few = coarse(levels)
    result, field, reverse = _climb(levels, range(few), None, seeds, settings, device)
    for attempt in attempts(settings)[1:]:
        codes = ROW * (field // levels[few - 1].grid[1]) + field % levels[few - 1].grid[1]
        codes = codes.view(-1, *levels[few - 1].grid).cpu().numpy()
        alike = [i for i, one in enumerate(codes) if is_copy(one)]
        if not alike:
            break
        again = _climb(levels, range(few), None, [seeds[i] for i in alike], settings, device, attempt)
        for all_of_them, new in zip((result, field, reverse), again, strict=True):
            all_of_them[alike] = new
    result, field, _ = _climb(levels, range(few, len(levels)), (result, field, reverse), seeds, settings, device)
    rows, columns = field.view(-1, *levels[-1].grid), levels[-1].grid[1]
    pixels = result.to(torch.uint8).permute(0, 2, 3, 1)
    return pixels, torch.stack([rows // columns, rows % columns], -1).int()


def _climb(
    levels: list[Level],
    indices: range,
    before: tuple | None,
    seeds: list[int],
    settings: Settings,
    device: torch.device,
    attempt: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Through some of the levels: variations (n,3,h,w), their fields (n,L) of indices, and the fields backwards.

    before: what the level below the first of them left, or None at the coarsest, where noise is drawn by `attempt`.
    """
    exact_kind = torch.float16 if device.type == "cuda" else torch.float32  # holds whole numbers up to 2048 exactly
    own = torch.tensor(seeds, device=device)
    result, field, reverse = before or (None, None, None)
    for index in indices:
        level, coarser = levels[index], levels[index - 1]
        grid, weight = level.grid, None
        values, blurred = (
            None if image is None else torch.from_numpy(image).to(device).permute(2, 0, 1)[None]
            for image in (level.image, level.blurred)
        )
        counts = functional.fold(
            torch.ones(1, 3 * PATCH**2, grid[0] * grid[1], device=device), values.shape[2:], PATCH
        )[0, 0]
        values = _unfold(values).to(exact_kind)
        steps = range(level.iterations)
        if index == 0:
            starts = [first_field(noisy_start(level, seed, settings, attempt), level, settings) for seed in seeds]
            codes = torch.from_numpy(np.stack(starts)).long().to(device).flatten(1)
            field = codes // ROW * grid[1] + codes % ROW
            reverse = torch.zeros_like(field)
            query = _average(values[0], field, counts)
            steps = steps[1:]
        else:
            query = _enlarge(result, *level.image.shape[:2])
            field, reverse = (_enlarge_field(f, coarser.grid, grid) for f in (field, reverse))
        active = torch.ones(len(seeds), dtype=torch.bool, device=device)
        for step in steps:
            keys = _unfold(blurred).to(exact_kind) if index and step == 0 else values
            patches = _unfold(query.to(exact_kind))
            radius = max(grid) >> (1 + step)
            salt = 4 * (index * max(settings.iterations) + step)

            def nearest(
                query: Tensor,
                keys: Tensor,
                weight: Tensor | None,
                field: Tensor,
                salt: int,
                level: Level = level,
                radius: int = radius,
                grid: tuple[int, int] = grid,
            ) -> tuple[Tensor, Tensor]:
                if level.exact:
                    return _exact(query, keys, weight)
                # Scores with weights are less smooth: one iteration is not enough.
                for again in range(2 if level.complete else 1):
                    field, score = _search(query, keys, weight, field, grid, radius, own, salt + again)
                return field, score

            if level.complete:
                reverse, distance = nearest(keys, patches, None, reverse, salt + 2)
                weight = (1 / completeness(distance.double(), settings)).float()
            new, _ = nearest(patches, keys, weight, field, salt)
            changed = (new != field).float().mean(1)
            field = torch.where(active[:, None], new, field)
            query = torch.where(active[:, None, None, None], _average(values[0], field, counts), query)
            if step:
                active &= changed >= FEW_CHANGES  # each variation stops on its own, so that its company changes nothing
                if not active.any():
                    break
        result = query
    return result, field, reverse
