"""The probability of a class, with which methods weigh masked pictures."""

import math

from torch import Tensor
from torch.nn import functional

from baselines.contract import Classifier
from baselines.refusals import one_of
from baselines.taps import full

KINDS = ("softmax", "sigmoid")


def refuse_one_output(output: Tensor) -> None:
    """ValueError where a softmax says nothing: over one output (B,1[,i,j]), whose probability is 1 in any picture, and
    over z and -z, which are one output read as two classes."""
    if output.shape[1] == 1:
        raise ValueError("a softmax over one output is 1 whatever the picture: method.build.probability=sigmoid")
    if output.shape[1] == 2 and output.any() and (output[:, 0] == -output[:, 1]).all():
        raise ValueError("z and -z are one logit, whose probability is a sigmoid: method.build.probability=sigmoid")


def probability(classifier: Classifier, output: Tensor, target: int, kind: str) -> Tensor:
    """(B,) probability of class `target` from the network's output (B,C) or (B,C,i,j).

    kind: "softmax": the class's outputs against all outputs, as the networks of ImageNet were trained. "sigmoid": of
    the class's score alone, as multi-label networks were trained; the score of a map is the log of the mean exp.
    """
    output = full(output)  # eight bits of a logit decide no probability
    score = classifier.score(output, target)
    if one_of(KINDS, "probability", kind) == "softmax":
        refuse_one_output(output)
        return (score - output.flatten(1).logsumexp(1)).exp()
    return functional.sigmoid(score - math.log(output[0, 0].numel()))
