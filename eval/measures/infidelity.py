"""Infidelity (Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019, definition 2.1): does the
map's sum over what is removed say how far the class's score falls?"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score, lines
from eval.measures.network_outputs import outputs, plain
from eval.measures.perturbation import mean_colour
from eval.measures.ranking import on_input
from eval.networks.probability import logit


def _left(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(mean squared difference of the drops and the best multiple of the sums (n,), mean squared drop (n,))."""
    if "removed" not in rows:
        return (np.full(len(rows), np.nan),) * 2
    sums, drops = lines(rows, "removed"), lines(rows, "fallen")
    size = (sums**2).sum(1)
    scale = np.divide((sums * drops).sum(1), size, out=np.where(np.isnan(size), np.nan, 0.0), where=size > 0)
    return ((drops - scale[:, None] * sums) ** 2).mean(1), (drops**2).mean(1)


def _infidelity(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    return _left(rows)[0]


def _share(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    left, whole = _left(rows)
    return np.divide(left, whole, out=np.full(len(rows), np.nan), where=whole > 0)


class Infidelity:
    """removed: the map's mean over the input's pixels, counted in `draws` squares alone. fallen: by how much the
    class's logit falls when that square takes the mean colour. None for a constant map. Squares, a side drawn from
    `sides` and a place within the input, are the picture's own: alike for all of its classes and for every method.

    A heat map has no scale of its own, so tables take its best multiple (captum's `normalize`). It has one value a
    pixel, of what the pixel contributes: no difference of pixels is multiplied to it.
    """

    name = "infidelity"
    version = 1
    fields = ("removed", "fallen")
    speed = ("batch",)
    scores = (
        Score("infidelity", "mean squared difference between the fall of the logit and the map's sum, at the map's "
              "best scale", "squared logit", True, _infidelity),
        Score("infidelity_share", "the same as a share of the mean squared fall: what the map leaves unexplained",
              "share", True, _share),
    )  # fmt: skip

    def __init__(self, draws: int = 64, sides: Sequence[int] = (28, 56), batch: int | None = None):
        if draws < 2 or not sides or min(sides) < 1:
            raise ValueError(
                f"draws is {draws} and sides {list(sides)}; at least 2 squares of a side of 1 pixel or more"
            )
        self.draws, self.sides, self.batch = draws, tuple(sides), batch

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        image, classifier = cases[0].image, cases[0].classifier
        heats: list[np.ndarray | None] = [
            None if case.grid is None or (seen := on_input(case)).constant else seen.values for case in cases
        ]
        if all(heat is None for heat in heats):
            return [dict.fromkeys(self.fields) for _ in cases]
        squares = self.squares(tuple(image.shape[-2:]), cases[0].seed)
        mean = mean_colour(image, classifier)
        pictures = (torch.where(torch.from_numpy(square).to(image.device), mean, image) for square in squares)
        answers = outputs(classifier, [image, *pictures], self.batch)
        rows = []
        for case, heat in zip(cases, heats, strict=True):
            row: dict = dict.fromkeys(self.fields)
            if heat is not None:
                score = logit(answers, classifier.outputs[case.target])
                sums = torch.tensor([np.where(square, heat / heat.size, 0).sum() for square in squares])
                row = {"removed": plain(sums), "fallen": plain(score[0] - score[1:])}
            rows.append(row)
        return rows

    def squares(self, size: tuple[int, int], seed: int) -> list[np.ndarray]:
        """Masks (h,w) bool of what is removed. ValueError where no square fits into the input."""
        height, width = size
        if max(self.sides) > min(size):
            raise ValueError(f"a square of {max(self.sides)} pixels does not fit into the input of {height} x {width}")
        draw, masks = np.random.default_rng(seed), []
        for _ in range(self.draws):
            side = int(draw.choice(self.sides))
            top, left = int(draw.integers(height - side + 1)), int(draw.integers(width - side + 1))
            mask = np.zeros(size, bool)
            mask[top : top + side, left : left + side] = True
            masks.append(mask)
        return masks
