"""Single deletion, in domain IDSDS (Hesse et al., NeurIPS Datasets and Benchmarks 2024): whether the map's sums over
cells order the cells as their deletion lowers the class's score."""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score, lines
from eval.measures.network_outputs import outputs, plain
from eval.measures.perturbation import mean_colour
from eval.measures.ranking import on_input
from eval.networks.probability import logit


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(n,) Spearman correlation of each line of a with that of b, (n,m) both; NaN where either is constant."""
    a, b = (rankdata(each, axis=1) if each.size else each for each in (a, b))
    a, b = a - a.mean(1, keepdims=True), b - b.mean(1, keepdims=True)
    size = np.sqrt((a**2).sum(1) * (b**2).sum(1))
    return np.divide((a * b).sum(1), size, out=np.full(len(a), np.nan), where=size > 0)


def _score(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    if "sums" not in rows:
        return np.full(len(rows), np.nan)
    sums, drops = lines(rows, "sums"), lines(rows, "drops")
    known = np.isfinite(sums).all(1)
    result = np.full(len(rows), np.nan)
    result[known] = correlations(sums[known], drops[known])
    return result


WHAT = "Spearman correlation of the map's sum over a cell with the drop of the logit without it"


class SingleDeletion:
    """sums: of the map over each of cells x cells parts of the input, row by row; None for a constant map. drops: by
    how much the class's logit falls when that part takes the mean colour. The published protocol has 4 x 4 cells."""

    name = "single_deletion"
    version = 1
    fields = ("sums", "drops")
    speed = ("batch",)
    scores = (Score("single_deletion", WHAT, "correlation", False, _score),)

    def __init__(self, cells: int = 4, batch: int | None = None):
        if cells < 2:
            raise ValueError(f"cells is {cells}; a correlation needs at least 2 x 2")
        self.cells, self.batch = cells, batch

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        image, classifier = cases[0].image, cases[0].classifier
        heats = [None if case.grid is None or (enlarged := on_input(case)).constant else enlarged for case in cases]
        if not any(heats):
            return [{"sums": None, "drops": None} for _ in cases]
        if min(image.shape[-2:]) < self.cells:
            raise ValueError(f"a picture of {tuple(image.shape[-2:])} pixels has no {self.cells} x {self.cells} cells")
        answers = outputs(classifier, [image, *self._deleted(image, mean_colour(image, classifier))], self.batch)
        rows = []
        for case, heat in zip(cases, heats, strict=True):
            scores = logit(answers, classifier.outputs[case.target])
            sums = (
                None if heat is None else plain(torch.tensor([heat.values[part].sum() for part in self._parts(image)]))
            )
            rows.append({"sums": sums, "drops": None if heat is None else plain(scores[0] - scores[1:])})
        return rows

    def _parts(self, image: Tensor) -> Iterator[tuple[slice, slice]]:
        height, width = image.shape[-2:]
        rows, columns = (
            [slice(i * length // self.cells, (i + 1) * length // self.cells) for i in range(self.cells)]
            for length in (height, width)
        )
        return ((row, column) for row in rows for column in columns)

    def _deleted(self, image: Tensor, mean: Tensor) -> Iterator[Tensor]:
        for rows, columns in self._parts(image):
            picture = image.clone()
            picture[:, rows, columns] = mean[:, rows, columns]
            yield picture


class IDSDS(SingleDeletion):
    """The same on a network that was fine-tuned with deleted cells, so that a deleted cell is nothing new to it."""

    name = "idsds"
    scores = (Score("idsds", f"{WHAT}, on a network fine-tuned with deleted cells", "correlation", False, _score),)

    def __init__(self, cells: int = 4, fine_tuned: bool = False, batch: int | None = None):
        if fine_tuned is not True:
            raise ValueError(
                "idsds is about networks that were fine-tuned with deleted cells, and on others it is called "
                "measure=single_deletion; for such a network (model.checkpoint=FILE) set measure.idsds.fine_tuned=true"
            )
        super().__init__(cells, batch)
