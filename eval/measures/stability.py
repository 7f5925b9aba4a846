"""How much a map depends on what should not matter: the method's seed, and invisible noise."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch

from eval.game.pointing import upscale
from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Score, lines
from eval.measures.network_outputs import plain
from eval.measures.similarity import spearman

STEP = 0x9E3779B97F4A7C15  # odd: the seeds of one picture are all different


def seeds_of(case: Case, count: int) -> list[int]:
    """`count` seeds of the picture's own, none of them the run's."""
    return [(case.seed + (number + 1) * STEP) % 2**63 for number in range(count)]


def _moved(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    if "xs" not in rows:
        return np.full(len(rows), np.nan)
    across, down = lines(rows, "xs") - rows[["x"]].to_numpy(float), lines(rows, "ys") - rows[["y"]].to_numpy(float)
    return np.hypot(across, down).mean(1)


def _alike(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    return lines(rows, "alike").mean(1) if "alike" in rows else np.full(len(rows), np.nan)


class Stability:
    """xs, ys: the points, in original pixels, of the method called again with `seeds` other seeds. alike: rank
    correlation of each of those maps with the row's; None in the list where a map is constant."""

    name = "stability"
    version = 1
    fields = ("xs", "ys", "alike")
    scores = (
        Score("stability", "pixels of the original picture between the points of two seeds", "px", True, _moved),
        Score("stability_map", "rank correlation between the maps of two seeds", "correlation", False, _alike),
    )

    def __init__(self, seeds: int = 4):
        if seeds < 1:
            raise ValueError(f"seeds is {seeds}; at least one other seed is compared")
        self.seeds = seeds

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        first = cases[0]
        if first.method is None or first.grid is None:
            return [dict.fromkeys(self.fields) for _ in cases]
        targets = [case.target for case in cases]
        maps = [first.method(first.given, targets, seed) for seed in seeds_of(first, self.seeds)]
        rows = []
        for number, case in enumerate(cases):
            assert case.grid is not None, "one call returns maps for all cases or for none"
            points = [upscale(each[number], case.size).peak for each in maps]
            alike = [self._alike(case.grid, each[number]) for each in maps]
            rows.append({"xs": [x for x, _ in points], "ys": [y for _, y in points], "alike": alike})
        return rows

    @staticmethod
    def _alike(one: np.ndarray, other: np.ndarray) -> float | None:
        correlation = spearman(one, other)
        return None if correlation is None else plain(torch.tensor([correlation], dtype=torch.float64))[0]


def _largest(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    return lines(rows, "changes").max(1) if "changes" in rows else np.full(len(rows), np.nan)


class MaxSensitivity:
    """Max-sensitivity (Yeh et al., On the (In)fidelity and Sensitivity of Explanations, NeurIPS 2019). A test, not a
    rank: a constant map passes it best, and its order of methods is unreliable (arXiv 2412.10942).

    changes: for each of `draws` copies of the picture, every value moved by up to `radius` (uniform, kept within
    [0,1]), the distance of its map from the row's, divided by the norm of the row's; None for a map of zeros. The
    method's own seed stays the same.
    """

    name = "max_sensitivity"
    version = 1
    fields = ("changes",)
    scores = (
        Score("max_sensitivity", "largest change of the map under noise on the picture, as a share of the map's norm",
              "ratio", True, _largest, ranked=False),
    )  # fmt: skip

    def __init__(self, radius: float = 0.02, draws: int = 10):
        if not radius > 0 or draws < 1:
            raise ValueError(f"radius is {radius} and draws {draws}; both must be above 0")
        self.radius, self.draws = radius, draws

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        first = cases[0]
        if first.method is None or first.grid is None:
            return [dict.fromkeys(self.fields) for _ in cases]
        targets = [case.target for case in cases]
        maps = []
        for seed in seeds_of(first, self.draws):
            generator = torch.Generator().manual_seed(seed)
            noise = self.radius * (2 * torch.rand(first.given.shape, generator=generator) - 1)
            maps.append(first.method((first.given + noise.to(first.given)).clamp(0, 1), targets, first.seed))
        rows = []
        for number, case in enumerate(cases):
            assert case.grid is not None, "one call returns maps for all cases or for none"
            size = float(np.linalg.norm(case.grid))
            distances = [float(np.linalg.norm(each[number] - case.grid)) for each in maps]
            rows.append({"changes": plain(torch.tensor(distances) / size) if size > 0 else None})
        return rows
