"""Networks that a method's rules do not cover, refused before the first picture."""

from collections.abc import Sequence

from torch import nn


def refuse(classifier, who: str, kinds: Sequence[type[nn.Module]], why: str) -> None:
    """ValueError naming the first layer of one of the kinds, and why the method cannot take it."""
    for name, module in classifier.network.named_modules():
        if isinstance(module, tuple(kinds)):
            raise ValueError(f"{who} {why}; layer {name!r} of the network is a {type(module).__name__}")
