"""A map cut at every threshold: what its levels say about a mask, and how its mass is spread.

Sorting a picture's pixels takes several times as long as all other fields of a row. So pixels are counted in BINS even
steps between the map's lowest and highest value; the numbers are exactly those of the map rounded up to these steps.
How far those of the unrounded map can be away is known too: where it is more than TOLERANCE, the pixels are sorted
after all.
"""

from dataclasses import dataclass

import numpy as np

from eval.game.pointing import Heat

BINS = 1 << 14
TOLERANCE = 1e-3


@dataclass(frozen=True)
class Thresholds:
    """pixel_ap: average precision of the pixels, tied ones counted together. iou_best: the highest IoU of the mask and
    the pixels at or above a threshold; iou_area: its mean over thresholds, evenly between the map's lowest and highest
    value. A constant map has one set, the whole picture. gini, entropy: of the positive mass, None without any; entropy
    as a share of a uniform map's. bound: how far pixel_ap and iou_best of the unrounded map can be away."""

    pixel_ap: float
    iou_best: float
    iou_area: float
    gini: float | None
    entropy: float | None
    bound: float


def thresholds(heat: Heat, mask: np.ndarray, bins: int = BINS, tolerance: float = TOLERANCE) -> Thresholds:
    """Of a map and a mask (h,w) bool on its grid that holds a pixel."""
    from eval.measures import level_counts  # numba's import is not for those who read a table

    low, high = float(heat.levels.min()), float(heat.levels.max())
    zero, top = _zero(heat, low, high), float(heat.values.max())
    if low == high:
        share = float(mask.mean())
        gini, entropy = (0.0, 1.0) if top > 0 else (None, None)
        return Thresholds(share, share, share, gini, entropy, 0.0)
    mask = np.ascontiguousarray(mask).view(np.uint8)
    counts, mass = level_counts.counted(heat.levels, mask, low, (bins - 1) / (high - low), zero, bins)
    answer = level_counts.against_mask(counts, np.linspace(0, 1, bins))
    if max(answer[1], answer[3]) > tolerance:
        steps, counts = level_counts.grouped(np.sort(level_counts.packed(heat.levels, mask)))
        mass = counts.sum(1) * np.maximum(steps - zero, 0)
        answer = level_counts.against_mask(counts, (steps - low) / (high - low))
        answer = (answer[0], 0.0, answer[2], 0.0, answer[4])
    gini, entropy = level_counts.concentration(counts, mass) if top > 0 else (None, None)
    return Thresholds(answer[0], answer[2], answer[4], gini, entropy, max(answer[1], answer[3]))


def _zero(heat: Heat, low: float, high: float) -> float:
    """The level of the value 0; levels are the values up to a line."""
    if low == high:
        return low
    # Halved, as the span of a map from -1e308 to 1e308 has no double.
    least, most = float(heat.values.min()) / 2, float(heat.values.max()) / 2
    return low - (high - low) * (least / (most - least))
