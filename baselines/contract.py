"""What a method needs of a classifier, of whatever class."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn


class Classifier(Protocol):
    """A frozen network in eval mode, with no activation in place, and what its outputs mean.

    outputs: for each class the network's outputs that stand for it. layers: names of modules by use, such as "cam".
    images_seen: pictures that passed the network; it counts by itself. side: of a square picture that it takes.
    """

    network: nn.Module
    classes: Sequence[str]
    outputs: Sequence[Sequence[int]]
    layers: Mapping[str, Sequence[str]]
    images_seen: int
    side: int
    device: torch.device

    def normalise(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) or (3,h,w) RGB in [0,1] -> (B,3,h,w) as the network takes them."""

    def score(self, output: Tensor, target: int) -> Tensor:
        """(B,) score of a class from the output (B,C) or (B,C,i,j); differentiable."""

    def module(self, name: str) -> nn.Module:
        """The module of that name; ValueError if there is none."""

    def reader(self, name: str) -> Callable[[Tensor], Tensor]:
        """What makes maps (B,C,h,w) of the layer's output, or of a gradient of its shape; ValueError where nobody knows
        its layout."""
