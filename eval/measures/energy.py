"""Energy-based pointing game (Wang et al., Score-CAM, CVPR workshops 2020, section 4.3)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score


def _energy(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    values = rows["energy"].to_numpy(float)
    # A map without positive mass has none in the region; a method without maps has no such number.
    return np.where(np.isnan(values) & rows["cover5"].notna().to_numpy(), 0.0, values)


class Energy:
    """energy: share of the map's positive mass in the region; None without positive mass, and for a bare point."""

    name = "energy"
    version = 1
    fields = ("energy",)
    scores = (Score("energy", "share of the map's positive mass in the region", "share", False, _energy),)

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        return [{"energy": self._share(case)} for case in cases]

    @staticmethod
    def _share(case: Case) -> float | None:
        if case.heat is None:
            return None
        positive = np.maximum(case.heat.values, 0)
        top = positive.max()
        if not top > 0:
            return None
        positive = positive / top  # a sum of values near 1e308 has no double
        return min(1.0, round(float(positive[case.region.mask].sum() / positive.sum()), 6))
