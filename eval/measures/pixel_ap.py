"""Pixel average precision: does the map put the object's pixels before all others?"""

from collections.abc import Sequence

from eval.measures.measure import Case, Score, column


class PixelAP:
    """pixel_ap: average precision of the picture's pixels, in the map's order, for being in the region; tied pixels are
    counted together. A map that is the mask has 1, a constant one the region's share of the picture. None for a bare
    point."""

    name = "pixel_ap"
    version = 1
    fields = ("pixel_ap",)
    scores = (
        Score("pixel_ap", "average precision of the pixels in the map's order for being in the region", "share", False,
              column("pixel_ap")),
    )  # fmt: skip

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        return [{"pixel_ap": None if case.heat is None else round(case.thresholds.pixel_ap, 6)} for case in cases]
