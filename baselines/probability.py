"""The probability of a class, with which methods weigh masked pictures."""

from torch import Tensor

from baselines.contract import Classifier
from gpnncam.features import full
from gpnncam.outputs import PROBABILITIES as KINDS
from gpnncam.outputs import class_probability

__all__ = ["KINDS", "SETTING", "probability"]

SETTING = "method.build.probability"


def probability(classifier: Classifier, output: Tensor, target: int, kind: str) -> Tensor:
    """(B,) probability of class `target` from the network's output (B,C) or (B,C,i,j); `kind` one of KINDS, as
    `gpnncam.outputs.class_probability` has it."""
    output = full(output)  # eight bits of a logit decide no probability
    return class_probability(classifier.score(output, target), output, kind, SETTING)
