"""The pointing game's observation: from a heat map (or a point) and a region to the fields of a row.

Resizing, smoothing, the highest point, ties and degenerate maps are decided here and nowhere else. Coordinates are
original pixels, x right, y down, origin at the top left corner; pixel i covers [i, i+1).
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from eval.region import Region
from eval.smoothing import NONE, Smoothing

COVER = (5, 10, 20)  # percent of the picture's pixels


def upscale(maps: Tensor, size: tuple[int, int], smoothing: Smoothing = NONE) -> np.ndarray:
    """Heat maps (K,h,w) resized to the original picture: (K,height,width) float32; size is (width, height).

    Bilinear, align_corners=False; smoothed after that, on the picture's own grid, as TorchRay does. Computed in double
    precision and rounded once: beyond the outermost cells' centres the map is flat, and in single precision rounding
    would pick the highest point of such a plateau.
    """
    width, height = size
    resized = F.interpolate(maps.detach().double()[None], (height, width), mode="bilinear", align_corners=False)[0]
    return smoothing(resized).float().cpu().numpy()


def observe_map(heat: np.ndarray, region: Region) -> dict:
    """Row fields of one upscaled map (height,width); ValueError if it is not finite.

    energy: share of the positive mass that lies in the region (energy pointing game, Wang et al. 2020, Score-CAM,
    section 4.3); None without positive mass. cover5/10/20: share of the region that the map's own most important
    5/10/20 % of pixels cover; pixels tied at the threshold count in proportion.
    """
    if not np.isfinite(heat).all():
        raise ValueError("the heat map has values that are not finite")
    peak = heat.max()
    row, column = divmod(int(heat.argmax()), heat.shape[1])
    fields = observe_point(float(column), float(row), region)
    fields["ties"] = int((heat == peak).sum())
    fields["constant"] = bool(peak == heat.min())
    positive = np.maximum(heat, 0, dtype=np.float64)
    mass = positive.sum()
    fields["energy"] = round(float(positive[region.mask].sum() / mass), 6) if mass > 0 else None
    within = heat[region.mask]
    budgets = [max(1, round(heat.size * percent / 100)) for percent in COVER]
    ordered = np.partition(heat, [heat.size - budget for budget in budgets], axis=None)
    for percent, budget in zip(COVER, budgets, strict=True):
        threshold = ordered[heat.size - budget]
        above, tied = int((heat > threshold).sum()), int((heat == threshold).sum())
        covered = (within > threshold).sum() + (within == threshold).sum() * (budget - above) / tied
        fields[f"cover{percent}"] = round(float(covered / region.area), 6)
    return fields


def observe_point(x: float, y: float, region: Region) -> dict:
    """Row fields of a bare point: a method without a map leaves the fields of maps empty."""
    if not (np.isfinite(x) and np.isfinite(y)):
        raise ValueError(f"the point ({x}, {y}) is not finite")
    fields = {"x": x, "y": y, "inside": region.contains(x, y), "distance": region.distance(x, y)}
    return fields | {"ties": 1, "constant": False, "energy": None} | {f"cover{p}": None for p in COVER}


def observe(result: Tensor, size: tuple[int, int], regions: list[Region], smoothing: Smoothing = NONE) -> list[dict]:
    """Row fields for a method's answer about K classes: maps (K,h,w) on any grid, or points (K,2) x y.

    size: (width, height) of the original picture; regions: one for each class; smoothing: of maps.
    ValueError if the answer has the wrong shape or is not finite.
    """
    answer = torch.as_tensor(result)
    if answer.dim() not in (2, 3) or len(answer) != len(regions) or (answer.dim() == 2 and answer.shape[1] != 2):
        raise ValueError(
            f"expected maps (K,h,w) or points (K,2) for K={len(regions)} classes, got {tuple(answer.shape)}"
        )
    if answer.dim() == 2:
        return [observe_point(float(x), float(y), region) for (x, y), region in zip(answer, regions, strict=True)]
    if 0 in answer.shape:
        raise ValueError(f"the heat map is empty: {tuple(answer.shape)}")
    return [observe_map(heat, region) for heat, region in zip(upscale(answer, size, smoothing), regions, strict=True)]
