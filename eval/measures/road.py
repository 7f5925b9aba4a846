"""ROAD (Rong et al., ICML 2022): the class's probability after the most, and after the least important pixels were
removed, and filled in so that neither their shape nor their colour gives away what was there."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Curve, Score, lines
from eval.measures.network_outputs import outputs, plain
from eval.measures.ranking import cuts, ranks
from eval.networks.probability import check_kind, probabilities

DIRECT, DIAGONAL = 1 / 6, 1 / 12  # weights of a pixel's neighbours (section 4.2)
TOLERANCE = 5e-7
"""The solver ends at a correction of this share of the highest value. What is left is below 1e-7, about the distance of
two pixels in single precision, which the network gets."""


def linear_imputation(pixels: np.ndarray, removed: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """Fill pixels (h,w,3) where removed (h,w) bool: each is the weighted mean of its neighbours, all at once.

    A neighbour beyond the border has no weight, and the others' are divided by what remains. ValueError where
    everything is removed.
    """
    from eval.measures import (
        multigrid,
        stencils,
    )  # numba's import is for those who fill, not for those who read a table

    if removed.all():
        raise ValueError("everything is removed: nothing remains to interpolate from")
    filled = np.array(pixels, dtype=float, order="C")
    if removed.any():
        at, rows, right = stencils.neighbour_means(filled, np.ascontiguousarray(removed), DIRECT, DIAGONAL)
        highest = np.abs(filled[~removed]).max()
        filled[removed] = multigrid.solve(at, rows, right, removed.shape, tolerance * highest)
    return filled


def shares_of(shares: Sequence[float]) -> tuple[float, ...]:
    """Rising shares of pixels to remove; ValueError unless each lies between 0 and 1 and nothing repeats."""
    if not shares or not all(0 < share < 1 for share in shares) or sorted(set(shares)) != list(shares):
        raise ValueError(f"shares must rise, each between 0 and 1, not {list(shares)}")
    return tuple(shares)


def removals(places: Tensor, shares: Sequence[float]) -> Iterator[Tensor]:
    """(h,w) bool masks: the most important pixels by each share, then the least important. places: see `ranks`."""
    total = places.numel()
    yield from (places < cuts(share, total) for share in shares)
    yield from (places >= total - cuts(share, total) for share in shares)


def _points(field: str) -> Callable[[pd.DataFrame], tuple[np.ndarray, np.ndarray]]:
    def points(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        values = np.column_stack([rows["whole"].to_numpy(float), lines(rows, field)])
        shares = lines(rows, "shares")
        known = shares[np.isfinite(shares).all(1)]
        return np.concatenate([[0], known[0] if len(known) else np.zeros(values.shape[1] - 1)]), values

    return points


def _after(field: str) -> Callable[[pd.DataFrame, Rules], np.ndarray]:
    def value(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
        return lines(rows, field).mean(1) if field in rows else np.full(len(rows), np.nan)

    return value


def _difference(rows: pd.DataFrame, rules: Rules) -> np.ndarray:
    return (_after("least")(rows, rules) - _after("most")(rows, rules)) / 2


def removal_scores(name: str, how: str) -> tuple[Score, ...]:
    """The three scores of a measure with the fields whole, shares, most, least."""
    first, last = (
        "share of pixels removed, the most important first",
        "share of pixels removed, the least important first",
    )
    return (
        Score(f"{name}_morf", f"probability of the class without its most important pixels, {how}", "share", True,
              _after("most"), curve=Curve(first, _points("most"))),
        Score(f"{name}_lerf", f"probability of the class without its least important pixels, {how}", "share", False,
              _after("least"), curve=Curve(last, _points("least"))),
        Score(name, f"half of what the class's probability without the least important pixels, {how}, is above that "
              "without the most important", "share", False, _difference),
    )  # fmt: skip


class ROAD:
    """whole: the class's probability of the picture. shares: of the pixels, removed. most, least: the probability
    after the most, the least important were removed, by share; None for a constant map.

    noise: deviation, on pixels in [0,1], of the Gaussian on filled pixels, drawn from the picture's seed.
    """

    name = "road"
    version = 2
    fields = ("whole", "shares", "most", "least")
    speed = ("batch",)
    scores = removal_scores("road", "filled in by linear interpolation")

    def __init__(
        self,
        shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8),
        noise: float = 0.01,
        probability: str = "softmax",
        batch: int | None = None,
    ):
        if noise < 0:
            raise ValueError(f"noise is {noise}; a deviation is at least 0")
        self.shares, self.noise, self.batch = shares_of(shares), noise, batch
        self.probability = check_kind(probability)

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        places = [ranks(case) for case in cases]
        stream = (
            picture
            for case, place in zip(cases, places, strict=True)
            if place is not None
            for picture in self.pictures(case, place)
        )
        image, classifier = cases[0].image, cases[0].classifier
        answers = outputs(classifier, (each for part in ([image], stream) for each in part), self.batch)
        count, start, rows = len(self.shares), 1, []
        for case, place in zip(cases, places, strict=True):
            chosen = classifier.outputs[case.target]
            row: dict = {"whole": plain(probabilities(answers[:1], chosen, self.probability))[0]}
            row |= {"shares": list(self.shares), "most": None, "least": None}
            if place is not None:
                after = plain(probabilities(answers[start : start + 2 * count], chosen, self.probability))
                row |= {"most": after[:count], "least": after[count:]}
                start += 2 * count
            rows.append(row)
        return rows

    def pictures(self, case: Case, places: Tensor) -> Iterator[Tensor]:
        """The pictures (3,h,w) with pixels removed and filled in, in the order of `removals`."""
        pixels = case.image.permute(1, 2, 0).double().cpu().numpy()
        draw = np.random.default_rng(case.seed)
        for removed in removals(places, self.shares):
            mask = removed.cpu().numpy()
            filled = linear_imputation(pixels, mask)
            # One draw a pixel, so that a mask's noise does not depend on how many pixels another mask removes.
            filled += self.noise * draw.standard_normal(filled.shape) * mask[..., None]
            yield torch.from_numpy(filled).permute(2, 0, 1).to(case.image)
