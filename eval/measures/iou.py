"""Overlap of the region with the map cut at a threshold, over all thresholds: the choice of one moves the result by
more than methods differ."""

from collections.abc import Sequence

from eval.measures.measure import Case, Score, column


class IoU:
    """iou_best: the highest IoU of the region and the pixels at or above a threshold. iou_area: the mean IoU over
    thresholds from the map's lowest to its highest value. Both are 1 for a map that is the mask, and the region's share
    of the picture for a constant one. None for a bare point."""

    name = "iou"
    version = 1
    fields = ("iou_best", "iou_area")
    scores = (
        Score("iou_best", "IoU of the region and the map cut at its best threshold", "share", False,
              column("iou_best")),
        Score("iou_area", "mean IoU of the region and the map over thresholds from its lowest to its highest value",
              "share", False, column("iou_area")),
    )  # fmt: skip

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        return [
            {name: None if case.heat is None else round(getattr(case.thresholds, name), 6) for name in self.fields}
            for case in cases
        ]
