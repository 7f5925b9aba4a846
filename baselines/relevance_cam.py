"""RelevanceCAM: channels weighted by the relevance that layer-wise relevance propagation (LRP) brings them."""

from typing import Any

import torch
from torch import Tensor

from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.propagation import Parts, propagating, start
from baselines.refusals import refuse_for_relevance
from gpnncam.features import full


class RelevanceCAM(Layered):
    """Lee et al., Relevance-CAM, CVPR 2021: weight of a channel = mean of its relevance; map = weighted activations.

    Output relevance is contrastive (CLRP, Gu et al., ACCV 2018): 1 for the class, -1/N for each other of the N outputs.
    Convolutions and linear layers have the alpha-beta rule with alpha 1, beta 0 and without bias; batch norm and
    activations pass relevance on; average pools and additions split it in proportion to what each part contributed; a
    max pool sends it to its winner. Where a class stands for several outputs, or an
    output is a map, the 1 (and each -1/N) is shared as the gradient of `classifier.score` shares it.

    Args:
        contrastive: False: the other outputs start with 0.
        **settings: those of `baselines.layered.Layered`.
    """

    version = 2  # raised when its maps change for equal settings; 2: ReLUs that are functions take part
    libraries = ("zennit",)  # whose versions decide its maps

    uses = ("relevance", "cam")

    def __init__(self, classifier: Classifier, contrastive: bool = True, **settings: Any):
        refuse_for_relevance(classifier, "RelevanceCAM")
        super().__init__(classifier, **settings)
        self.contrastive = contrastive
        self.parts = Parts()

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        maps = [
            (relevance.mean((2, 3), keepdim=True) * activations).sum(1)
            for activations, relevance, _ in self.relevance(image, targets)
        ]
        return self.fused(maps)

    def relevance(self, image: Tensor, targets: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """For each layer its activations (1,C,h,w), relevance (K,C,h,w), and the outputs' relevance (K,C'[,i,j])."""
        with propagating(self.classifier, image, self.layers, self.parts, "RelevanceCAM") as run:
            starts = [self.output_relevance(run.output.detach(), target) for target in targets.tolist()]
            rows = [torch.autograd.grad(run.output, run.layers, each, retain_graph=True) for each in starts]
            layers = [run.taps[name].detach() for name in self.layers]
            maps = run.taps.maps
        outputs = torch.cat(starts)
        return [
            (layer, full(maps(name, torch.cat(relevance).detach())), outputs)
            for name, layer, relevance in zip(self.layers, layers, zip(*rows, strict=True), strict=True)
        ]

    def output_relevance(self, output: Tensor, target: int) -> Tensor:
        """(1,C) or (1,C,i,j), as the network's output."""
        relevance = start(self.classifier, output, target)
        if self.contrastive:
            others = output.flatten(2).softmax(2).view_as(output) if output.dim() == 4 else torch.ones_like(output)
            others[:, self.classifier.outputs[target]] = 0
            relevance = relevance - others / output.shape[1]
        return relevance
