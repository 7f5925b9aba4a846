"""What the outputs of a network say about a class: its score and its probability, in double precision."""

from collections.abc import Sequence

from torch import Tensor

from gpnncam.outputs import PROBABILITIES, class_probability


def logit(output: Tensor, chosen: Sequence[int]) -> Tensor:
    """(N,) float64 score of outputs (N,C) or (N,C,i,j): logsumexp over the outputs `chosen` (those that stand for a
    class, `Classifier.outputs`) and over positions."""
    return output[:, list(chosen)].flatten(1).logsumexp(1)


def probabilities(output: Tensor, chosen: Sequence[int], kind: str) -> Tensor:
    """(N,) float64 probability of the class that the outputs `chosen` stand for, from outputs (N,C) or (N,C,i,j); kind
    as of `gpnncam.outputs.class_probability`."""
    return class_probability(logit(output, chosen), output, kind, "measure.NAME.probability")


def check_kind(kind: str) -> str:
    """`kind`, if it is one; else ValueError."""
    if kind not in PROBABILITIES:
        raise ValueError(f"probability is {kind!r}; known are {', '.join(PROBABILITIES)}")
    return kind
