"""Settings without a meaning, and networks that a method's rules do not cover: refused before the first picture."""

from collections.abc import Sequence

from torch import nn

from baselines.contract import Classifier


def refuse(classifier: Classifier, who: str, kinds: Sequence[type[nn.Module]], why: str) -> None:
    """ValueError naming the first layer of one of the kinds, and why the method cannot take it."""
    for name, module in classifier.network.named_modules():
        if isinstance(module, tuple(kinds)):
            raise ValueError(f"{who} {why}; layer {name!r} of the network is a {type(module).__name__}")


def refuse_for_relevance(classifier: Classifier, who: str) -> None:
    """ValueError for networks that rules of positive parts (LRP's alpha-beta, excitation backprop) do not cover."""
    refuse(
        classifier,
        who,
        (nn.LayerNorm, nn.GELU, nn.MultiheadAttention),
        "has no rule for layer norm, GELU and attention: its rules share out what positive parts of ReLU networks "
        "contribute, and there parts are divided by all others, or negative where the input is positive",
    )


def at_least_one(batch: int) -> int:
    """The batch; ValueError where it holds nothing."""
    if batch < 1:
        raise ValueError(f"batch must be at least 1, not {batch}")
    return batch


def one_of(known: Sequence[str], what: str, value: str) -> str:
    """The value of the setting `what`; ValueError that lists the known ones."""
    if value not in known:
        raise ValueError(f"{what} {value!r} is none of {', '.join(known)}")
    return value
