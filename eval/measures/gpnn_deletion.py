"""Deletion with generated filling: the class's probability after the most, and after the least important pixels were
removed, and generated anew from the patches of what remains. The picture stays one that the network could have seen."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score, lines
from eval.measures.network_outputs import outputs, plain
from eval.measures.ranking import ranks
from eval.measures.road import removal_scores, removals, shares_of
from eval.networks.probability import check_kind, probabilities


def _returned(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    return lines(rows, "most_from_region").mean(1) if "most_from_region" in rows else np.full(len(rows), np.nan)


class GpnnDeletion:
    """As `road.ROAD`, filled in by a generator: fields whole, shares, most, least as there, and

    most_from_region, least_from_region: by share, the share of generated patches whose source patch has its centre in
    the ground truth: where it is high the object can come back, from its own rest or from another one.

    fill: (image (3,h,w) in [0,1], masks (n,h,w) bool, seed) -> an object with `.pixels` (n,3,h,w) and `.field`
    (n,h-p+1,w-p+1,2), the row and column of the source patch of side p of each patch, or -1.
    """

    name = "gpnn_deletion"
    version = 1
    fields = ("whole", "shares", "most", "least", "most_from_region", "least_from_region")
    speed = ("batch",)
    scores = (
        *removal_scores("gpnn_deletion", "generated anew from what remains"),
        Score("gpnn_deletion_returned", "share of what is generated in place of the most important pixels that comes "
              "from the rest of the object", "share", True, _returned, ranked=False),
    )  # fmt: skip

    def __init__(
        self,
        fill: Callable[[Tensor, Tensor, int], Any],
        shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
        probability: str = "softmax",
        batch: int | None = None,
    ):
        self.fill, self.shares, self.batch = fill, shares_of(shares), batch
        self.probability = check_kind(probability)

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        filled = [None if (places := ranks(case)) is None else self.filled(case, places) for case in cases]
        image, classifier, count = cases[0].image, cases[0].classifier, len(self.shares)
        pictures = [image, *(picture for each in filled if each for picture in each[1].pixels)]
        answers = outputs(classifier, pictures, self.batch)
        start, rows = 1, []
        for case, each in zip(cases, filled, strict=True):
            chosen = classifier.outputs[case.target]
            row: dict = dict.fromkeys(self.fields)
            row |= {
                "whole": plain(probabilities(answers[:1], chosen, self.probability))[0],
                "shares": list(self.shares),
            }
            if each is not None:
                masks, result = each
                after = plain(probabilities(answers[start : start + 2 * count], chosen, self.probability))
                sources = [_from_region(case, mask, field) for mask, field in zip(masks, result.field, strict=True)]
                row |= {"most": after[:count], "least": after[count:]}
                row |= {"most_from_region": sources[:count], "least_from_region": sources[count:]}
                start += 2 * count
            rows.append(row)
        return rows

    def filled(self, case: Case, places: Tensor) -> tuple[Tensor, Any]:
        """(masks (n,h,w) bool in the order of `removals`, what `fill` makes of them)."""
        masks = torch.stack(list(removals(places, self.shares)))
        return masks, self.fill(case.image, masks, case.seed)


def _from_region(case: Case, mask: Tensor, field: Tensor) -> float | None:
    """Of the patches whose centre was removed, mask (h,w), the share whose source has its centre in the region; None
    where none has a source. field: (h-p+1,w-p+1,2)."""
    (height, width), around = mask.shape, (mask.shape[0] - field.shape[0]) // 2
    region = torch.from_numpy(case.region.mask).to(mask.device)
    rows, columns = (
        ((torch.arange(now, device=mask.device) + 0.5) * old / now).long()
        for now, old in zip((height, width), region.shape, strict=True)
    )
    region = region[rows][:, columns]
    sources = field[mask[around : around + field.shape[0], around : around + field.shape[1]]].long()
    sources = sources[sources[:, 0] >= 0] + around
    return plain(region[sources[:, 0], sources[:, 1]].double().mean()[None])[0] if len(sources) else None
