"""Average drop and increase in confidence (Chattopadhay et al., Grad-CAM++, WACV 2018, section 5.1)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score
from eval.measures.network_outputs import outputs, plain
from eval.measures.ranking import on_input
from eval.networks.probability import check_kind, probabilities


def _drop(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    whole, part = _columns(rows)
    # A class of probability 0 has no drop: the share would be 0 / 0.
    return np.divide(np.maximum(0, whole - part), whole, out=np.full(len(rows), np.nan), where=whole > 0)


def _increase(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    whole, part = _columns(rows)
    return np.where(np.isnan(part) | np.isnan(whole), np.nan, part > whole)


def _columns(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    empty = np.full(len(rows), np.nan)
    return tuple(rows[name].to_numpy(float) if name in rows else empty for name in ("whole", "explained"))  # type: ignore[return-value]


class AverageDrop:
    """whole: the class's probability of the picture. explained: of the picture times the map, the map scaled so that
    its lowest value on the input is 0 and its highest 1; None for a constant map."""

    name = "average_drop"
    version = 1
    fields = ("whole", "explained")
    speed = ("batch",)
    scores = (
        Score("average_drop", "share of the class's probability lost where the map hides the picture", "share", True,
              _drop),
        Score("average_increase", "share of pairs whose probability rises where the map hides the picture", "share",
              False, _increase),
    )  # fmt: skip

    def __init__(self, probability: str = "softmax", batch: int | None = None):
        self.probability, self.batch = check_kind(probability), batch

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        pictures, image = [cases[0].image], cases[0].image
        heats = [None if case.grid is None or (enlarged := on_input(case)).constant else enlarged for case in cases]
        for heat in heats:
            if heat is not None:
                scaled = (heat.levels - heat.levels.min()) / (heat.levels.max() - heat.levels.min())
                pictures.append(image * torch.from_numpy(scaled).to(image))
        answers = iter(outputs(cases[0].classifier, pictures, self.batch).unsqueeze(1))
        whole, rows = next(answers), []
        for case, heat in zip(cases, heats, strict=True):
            fields: dict = {"whole": self._plain(case, whole)}
            rows.append(fields | {"explained": None if heat is None else self._plain(case, next(answers))})
        return rows

    def _plain(self, case: Case, output: torch.Tensor) -> float:
        return plain(probabilities(output, case.classifier.outputs[case.target], self.probability))[0]
