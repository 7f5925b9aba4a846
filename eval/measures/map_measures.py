"""The measures that need a map and a region alone: every row has their fields."""

from collections.abc import Sequence

import numpy as np

from eval.game.pointing import upscale
from eval.game.region import Region
from eval.game.smoothing import NONE, Smoothing
from eval.measures.concentration import Concentration
from eval.measures.coverage import Coverage
from eval.measures.energy import Energy
from eval.measures.iou import IoU
from eval.measures.measure import Case, Measure
from eval.measures.pixel_ap import PixelAP
from eval.measures.point import Point

MAP_MEASURES: tuple[Measure, ...] = (Point(), Energy(), Coverage(), PixelAP(), IoU(), Concentration())


def cases_of(
    answers: np.ndarray, size: tuple[int, int], regions: Sequence[Region], smoothing: Smoothing = NONE
) -> list[Case]:
    """A case for each class of a picture. answers: maps (K,h,w) or points (K,2), see `points_or_maps`; size: (width,
    height) of the original picture; smoothing: of maps."""
    cases = []
    for answer, region in zip(answers, regions, strict=True):
        if answer.ndim == 1:
            cases.append(Case(region, size, (float(answer[0]), float(answer[1]))))
        else:
            heat = upscale(answer, size, smoothing)
            cases.append(Case(region, size, heat.peak, heat, answer))
    return cases


def observe(cases: Sequence[Case]) -> list[dict]:
    """The fields of all of them, a mapping for each case."""
    observed = [measure.observe(cases) for measure in MAP_MEASURES]
    return [{name: value for fields in each for name, value in fields.items()} for each in zip(*observed, strict=True)]
