"""Finer-CAM: the gradient of what sets a class apart from the classes that score like it."""

from typing import Any

import torch
from torch import Tensor

from baselines.cam import CAM
from baselines.contract import Classifier
from baselines.refusals import one_of
from gpnncam.features import full


class Compared:
    """A classifier whose score of a class is compared with similar outputs; the rest is the classifier's own."""

    def __init__(self, classifier: Classifier, strength: float, similar: int, weights: str):
        self._classifier = classifier
        self.strength, self.similar, self.weights = strength, similar, weights

    def __getattr__(self, name: str) -> Any:
        return getattr(self._classifier, name)

    def score(self, output: Tensor, target: int) -> Tensor:
        """(B,) from the output (B,C) or (B,C,i,j): sum_d w_d (y - strength y_d), see `FinerCAM`."""
        output = full(output)
        own = self._classifier.score(output, target)
        every = output.flatten(2).logsumexp(2) if output.dim() == 4 else output
        others = torch.ones(every.shape[1], dtype=torch.bool, device=every.device)
        others[self._classifier.outputs[target]] = False
        every = every[:, others]
        nearest = (every - own[:, None]).abs().detach().sort(dim=1, stable=True).indices[:, : self.similar]
        reference = every.gather(1, nearest)
        if reference.shape[1] == 0:
            return own
        weights = (
            reference.softmax(1)
            if self.weights == "probability"
            else torch.full_like(reference, 1 / reference.shape[1])
        )
        return own - self.strength * (weights * reference).sum(1)


class FinerCAM(CAM):
    """Zhang et al., Finer-CAM, CVPR 2025: a CAM of y - strength y_d, where d are outputs whose scores are near y.

    Args:
        formula: as in `baselines.cam.CAM`.
        strength: gamma of the paper, 1 in the authors' program and in pytorch-grad-cam.
        similar: how many outputs are compared, those whose score differs least.
        weights: "probability": they are weighted by their softmax probabilities, normalised over the compared ones (the
            authors' program and pytorch-grad-cam; the gradient runs through the weights too); "mean": alike.
        **settings: those of `baselines.cam.CAM`.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(
        self,
        classifier: Classifier,
        formula: str = "GradCAM",
        strength: float = 1.0,
        similar: int = 3,
        weights: str = "probability",
        **settings: Any,
    ):
        one_of(("probability", "mean"), "weights", weights)
        if similar < 1:
            raise ValueError(f"Finer-CAM compares with at least 1 output, not {similar}")
        super().__init__(Compared(classifier, strength, similar, weights), formula, **settings)
