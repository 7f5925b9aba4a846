"""The pointing game (Zhang et al., ECCV 2016): where the highest point lies, and how far from the object."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score, column


def _hit(rows: pd.DataFrame, rules: Rules) -> np.ndarray:
    return rules.hits(rows["inside"], rows["distance"], rows["constant"]).astype(float)


class Point:
    """The highest point and its distance to the region.

    x, y: the point in original pixels. ties: pixels as high as it. constant: the map has no highest point. inside:
    whether the pixel that holds the point lies in the region. distance: pixels to the region, 0 inside.
    """

    name = "point"
    version = 1
    fields = ("x", "y", "ties", "constant", "inside", "distance")
    scores = (
        Score("hit", "pointing game: whether the highest point counts as a hit", "share", False, _hit),
        Score(
            "distance", "pixels of the original picture from the highest point to the region", "px", True,
            column("distance"),
        ),
    )  # fmt: skip

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        return [self._fields(case) for case in cases]

    @staticmethod
    def _fields(case: Case) -> dict:
        (x, y), heat = case.point, case.heat
        fields: dict = {"x": x, "y": y, "inside": case.region.contains(x, y), "distance": case.region.distance(x, y)}
        return fields | {"ties": heat.ties if heat else 1, "constant": bool(heat and heat.constant)}
