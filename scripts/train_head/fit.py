"""Logistic regression for several labels at once, and VOC2007's mean average precision."""

from typing import NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize
from torch.nn import functional as F

STEPS = 300
LEVELS = np.linspace(0, 1, 11)


class Head(NamedTuple):
    """weight: (C,F) and bias: (C,) float64, of raw features."""

    weight: np.ndarray
    bias: np.ndarray

    def scores(self, features: np.ndarray) -> np.ndarray:
        """(N,C) of features (N,F)."""
        return features @ self.weight.T + self.bias


def fitted(features: np.ndarray, truth: np.ndarray, penalty: float, start: Head | None = None) -> Head:
    """The head that minimises, for every class, the mean logistic loss plus penalty / 2 times the squared weights.

    features: (N,F), which are standardised here. truth: (N,C) in 1, 0, -1; a 0 is left out of its class's loss.
    start: where the search begins; the minimum is one.
    """
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1
    inputs = torch.from_numpy(((features - mean) / deviation).astype(np.float32))
    wanted, known = torch.from_numpy(truth == 1).float(), torch.from_numpy(truth != 0).float()
    shares = known / known.sum(0)
    shape = truth.shape[1], features.shape[1] + 1

    def loss(flat: np.ndarray) -> tuple[float, np.ndarray]:
        both = torch.from_numpy(flat).float().view(shape)
        output = inputs @ both[:, :-1].T + both[:, -1]
        losses = F.binary_cross_entropy_with_logits(output, wanted, shares, reduction="sum")
        slope = (output.sigmoid() - wanted) * shares
        gradient = torch.cat([slope.T @ inputs + penalty * both[:, :-1], slope.sum(0)[:, None]], 1)
        return float(losses + penalty / 2 * (both[:, :-1] ** 2).sum()), gradient.flatten().double().numpy()

    first = np.zeros(shape)
    if start is not None:
        first[:, :-1], first[:, -1] = start.weight * deviation, start.bias + start.weight @ mean
    options = {"maxiter": STEPS, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-6}
    both = minimize(loss, first.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(shape)
    weight = both[:, :-1] / deviation
    return Head(weight, both[:, -1] - weight @ mean)


def mean_average_precision(scores: np.ndarray, truth: np.ndarray) -> float:
    """VOC2007's: for every class the mean, over recalls 0, 0.1, ..., 1, of the highest precision at that recall or a
    larger one; then the mean over classes. Both (N,C); pictures with truth 0 are left out of the class."""
    values = []
    for score, label in zip(scores.T, truth.T, strict=True):
        score, label = score[label != 0], label[label != 0]
        if not (label == 1).any():
            continue
        right = label[np.argsort(-score, kind="stable")] == 1
        recall, precision = np.cumsum(right) / right.sum(), np.cumsum(right) / np.arange(1, len(right) + 1)
        # A recall of 0.3 is reached by 3 of 10, whatever the rounding.
        values.append(np.mean([precision[recall >= level - 1e-9].max() for level in LEVELS]))
    return float(np.mean(values))
