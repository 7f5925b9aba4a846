"""What GPNN-CAM expects of the classifier that it is given. (The contract of a source: `gpnncam.sources.Source`.)"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from torch import Tensor, nn


class Classifier(Protocol):
    """A network in eval mode whose parameters require no gradients, and how to ask it.

    Any object with these five will do; no class of this project needs to be its base.
    """

    @property
    def network(self) -> Callable[[Tensor], Tensor]:
        """Normalised pixels (B,3,h,w) -> an output that `score` understands, B at its front."""

    @property
    def layers(self) -> Mapping[str, Sequence[str]]:
        """Under "gpnncam" the names of the layers to read, deep to shallow; read where no layers are given."""

    def normalise(self, pixels: Tensor) -> Tensor:
        """Pixels (B,3,h,w) RGB in [0,1] -> what the network takes."""

    def module(self, name: str) -> nn.Module:
        """The layer of that name; its output must be (B,C,h,w)."""

    # `reader(name)` is optional: what makes maps (B,C,h,w) of a layer's output, or of a gradient of its shape.

    def score(self, output: Tensor, target: int) -> Tensor:
        """The network's output -> the score (B,) of class `target`, differentiable."""
