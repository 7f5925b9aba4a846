"""Excitation backprop: the class's probability handed down from layer to layer along excitatory connections."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor

from baselines.contract import Classifier
from baselines.layered import fuse
from baselines.propagation import Parts, Recording, propagating, start
from baselines.refusals import refuse_for_relevance
from baselines.taps import layer_names


class ExcitationBackprop:
    """Zhang et al., Top-down Neural Attention by Excitation Backprop, ECCV 2016, eq. 5.

    p_j = x_j sum_i w+_ij p_i / sum_k w+_ik x_k through linear layers and average pools (x: activations, w+: positive
    weights, p_i: probability of unit i above); additions share in proportion; activations and batch norm pass on. The
    map is the sum of p over the channels of a middle layer. p starts as the class's 1 of the output.

    Args:
        layers: None: the model's "excitation" layer (TorchRay's: VGG16 features.23, ResNet50 layer3). One forward pass.
        fusion: as in `baselines.layered.Layered`.
    """

    version = 2  # raised when its maps change for equal settings; 2: ReLUs that are functions take part
    libraries = ("zennit",)  # whose versions decide its maps

    name = "excitation backprop"

    def __init__(self, classifier: Classifier, layers: Sequence[str] | str | None = None, fusion: str = "maximum"):
        refuse_for_relevance(classifier, self.name)
        self.classifier = classifier
        self.layers = layer_names(classifier, layers, "excitation", "cam")
        self.fusion = fusion
        self.parts = Parts()

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w) on the grid of the (finest) layer."""
        return fuse([self.map(probability) for probability in self.probabilities(image, targets)], self.fusion, None)

    def map(self, probabilities: Tensor) -> Tensor:
        """(K,C,h,w) -> (K,h,w)."""
        return probabilities.sum(1)

    def probabilities(self, image: Tensor, targets: Tensor) -> list[Tensor]:
        """What arrives at each layer: (K,C,h,w)."""
        with propagating(self.classifier, image, self.layers, self.parts, self.name) as run:
            rows = list(self.rows(run, targets))
            arrived = zip(self.layers, zip(*rows, strict=True), strict=True)
            return [run.taps.maps(name, torch.cat(probability).detach()) for name, probability in arrived]

    def rows(self, run: Recording, targets: Tensor) -> Iterator[Sequence[Tensor]]:
        """For each class what arrives at the layers."""
        for target in targets.tolist():
            begin = start(self.classifier, run.output, target)
            yield torch.autograd.grad(run.output, run.layers, begin, retain_graph=True)


class ContrastiveExcitationBackprop(ExcitationBackprop):
    """Zhang et al., ECCV 2016, section 3.3: the class's probabilities less those of its opposite, the positive part.

    The opposite is the class with the weights of the last linear layer negated. The two are subtracted at that layer's
    input (TorchRay's contrast layers: VGG16 classifier.4, ResNet50 the average pool), and the difference goes on down.

    Args:
        layers: as in `ExcitationBackprop`.
        against: the name or number of another class in place of the opposite; what two equal classes share is zero.
        relu: the positive part, as published.
        fusion: as in `baselines.layered.Layered`.
    """

    version = 2  # raised when its maps change for equal settings; 2: ReLUs that are functions take part

    name = "contrastive excitation backprop"

    def __init__(
        self,
        classifier: Classifier,
        layers: Sequence[str] | str | None = None,
        against: str | int | None = None,
        relu: bool = True,
        fusion: str = "maximum",
    ):
        super().__init__(classifier, layers, fusion)
        known = range(len(classifier.classes))
        other = classifier.classes.index(against) if against in classifier.classes else against
        if other is not None and other not in known:
            raise ValueError(f"against={against!r} is none of the classes {', '.join(classifier.classes)}")
        self.against = cast("int | None", other)
        self.relu = relu

    def map(self, probabilities: Tensor) -> Tensor:
        """(K,C,h,w) -> (K,h,w)."""
        total = probabilities.sum(1)
        return total.clamp(min=0) if self.relu else total

    def rows(self, run: Recording, targets: Tensor) -> Iterator[Sequence[Tensor]]:
        """For each class the difference that arrives at the layers."""
        if run.last is None or not run.last[1].requires_grad:
            raise ValueError(f"{self.name} needs a linear layer behind {', '.join(self.layers)}")
        layer, below = run.last
        for target in targets.tolist():
            begin = start(self.classifier, run.output, target)
            (positive,) = torch.autograd.grad(run.output, below, begin, retain_graph=True)
            if self.against is None:
                self.parts.opposed = layer
            else:
                begin = start(self.classifier, run.output, self.against)
            try:
                (contrast,) = torch.autograd.grad(run.output, below, begin, retain_graph=True)
            finally:
                self.parts.opposed = None
            yield torch.autograd.grad(below, run.layers, positive - contrast, retain_graph=True)
