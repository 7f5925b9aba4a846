"""How much of the object the most important pixels cover."""

from collections.abc import Sequence

import numpy as np

from eval.measures.measure import Case, Score, column

PERCENT = (5, 10, 20)


class Coverage:
    """cover5, cover10, cover20: share of the region that the map's most important 5/10/20 % of the picture's pixels
    cover; pixels tied at the threshold count in proportion. None for a bare point."""

    name = "coverage"
    version = 1
    fields = tuple(f"cover{percent}" for percent in PERCENT)
    scores = tuple(
        Score(
            f"cover{percent}",
            f"share of the region covered by the map's {percent} % most important pixels",
            "share",
            False,
            column(f"cover{percent}"),
        )
        for percent in PERCENT
    )

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        return [self._shares(case) for case in cases]

    def _shares(self, case: Case) -> dict:
        if case.heat is None:
            return dict.fromkeys(self.fields)
        levels = case.heat.levels
        within = levels[case.region.mask]
        budgets = [max(1, round(levels.size * percent / 100)) for percent in PERCENT]
        ordered = np.partition(levels, [levels.size - budget for budget in budgets], axis=None)
        shares = {}
        for name, budget in zip(self.fields, budgets, strict=True):
            threshold = ordered[levels.size - budget]
            above, tied = int((levels > threshold).sum()), int((levels == threshold).sum())
            covered = (within > threshold).sum() + (within == threshold).sum() * (budget - above) / tied
            shares[name] = round(float(covered / case.region.area), 6)
        return shares
