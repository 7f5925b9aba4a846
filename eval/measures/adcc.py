"""Average drop, coherency and complexity in one number, ADCC (Poppi et al., CVPR workshops 2021, section 3)."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
import torch

from eval.game.pointing import upscale
from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score
from eval.measures.network_outputs import outputs, plain
from eval.measures.ranking import on_input
from eval.networks.probability import check_kind, probabilities


def _parts(rows: pd.DataFrame) -> np.ndarray:
    """(n,3): coherency, 1 - complexity and 1 - average drop, each 1 at its best; NaN where a row has none."""
    if "coherency" not in rows:
        return np.full((len(rows), 3), np.nan)
    whole, explained, coherency, complexity = (
        rows[name].to_numpy(float) for name in ("whole", "explained", "coherency", "complexity")
    )
    kept = np.divide(np.minimum(explained, whole), whole, out=np.full(len(rows), np.nan), where=whole > 0)
    return np.column_stack([coherency, 1 - complexity, kept])


def _harmonic(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    parts = _parts(rows)
    known, some = ~np.isnan(parts).any(1), (parts > 0).all(1)
    mean = np.divide(3, (1 / np.where(parts > 0, parts, 1)).sum(1), out=np.zeros(len(rows)), where=some)
    return np.where(known, mean, np.nan)


def _part(number: int, sign: int) -> Callable[[pd.DataFrame, Rules], np.ndarray]:
    def value(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
        parts = _parts(rows)[:, number]
        return parts if sign > 0 else 1 - parts

    return value


def _hidden(case: Case) -> torch.Tensor:
    """The picture that the method was given, on its own grid, times the map."""
    assert case.grid is not None, "a point has no map"
    height, width = case.given.shape[-2:]
    return case.given * torch.from_numpy(scaled(upscale(case.grid, (width, height)).levels)).to(case.given)


class ADCC:
    """Of the map scaled so that its lowest value on the input is 0 and its highest 1. whole, explained: the class's
    probability of the picture, and of the picture times the map. coherency: Pearson correlation of the map with the
    method's own for the picture times the map, carried to [0,1]; 0.5 where that one is constant and so says nothing.
    complexity: the map's mean. None for a constant map, and coherency
    for a method that reads no pixels."""

    name = "adcc"
    version = 1
    fields = ("whole", "explained", "coherency", "complexity")
    speed = ("batch",)
    scores = (
        Score("adcc", "harmonic mean of coherency, 1 - complexity and 1 - average drop", "share", False, _harmonic),
        Score("adcc_drop", "share of the class's probability lost where the map hides the picture", "share", True,
              _part(2, -1)),
        Score("adcc_coherency", "correlation, from 0 to 1, of the map with that of the picture it hides", "share",
              False, _part(0, 1)),
        Score("adcc_complexity", "mean of the map scaled from 0 to 1", "share", True, _part(1, -1)),
    )  # fmt: skip

    def __init__(self, probability: str = "softmax", batch: int | None = None):
        self.probability, self.batch = check_kind(probability), batch

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        image, classifier, method = cases[0].image, cases[0].classifier, cases[0].method
        heats: list[np.ndarray | None] = [
            None if case.grid is None or (seen := on_input(case)).constant else scaled(seen.levels) for case in cases
        ]
        hidden = [None if heat is None else image * torch.from_numpy(heat).to(image) for heat in heats]
        answers = iter(outputs(classifier, [image, *(each for each in hidden if each is not None)], self.batch))
        first, rows = next(answers)[None], []
        for case, heat in zip(cases, heats, strict=True):
            row: dict = dict.fromkeys(self.fields)
            if heat is not None and method is not None:
                again = upscale(method(_hidden(case), [case.target], case.seed)[0], heat.shape[::-1])
                row["coherency"] = _plain((1 + pearson(heat, again.levels)) / 2)
            chosen = classifier.outputs[case.target]
            row["whole"] = plain(probabilities(first, chosen, self.probability))[0]
            if heat is not None:
                row["complexity"] = _plain(heat.mean())
                row["explained"] = plain(probabilities(next(answers)[None], chosen, self.probability))[0]
            rows.append(row)
        return rows


def scaled(levels: np.ndarray) -> np.ndarray:
    """A map that is not constant, from 0 to 1."""
    return (levels - levels.min()) / (levels.max() - levels.min())


def pearson(a: np.ndarray, b: np.ndarray) -> float:
    """Correlation of two maps of one shape; 0 where one is constant."""
    a, b = a - a.mean(), b - b.mean()
    size = np.sqrt((a**2).sum()) * np.sqrt((b**2).sum())
    return float(np.clip((a * b).sum() / size, -1, 1)) if size > 0 else 0.0


def _plain(value: float) -> float:
    return float(f"{value:.8g}")
