"""ShapleyCAM: channels weighted by Shapley values of their positions, to the second order."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.probability import KINDS, SETTING
from baselines.refusals import one_of
from baselines.taps import Taps, check_reached, tapped
from gpnncam.features import full
from gpnncam.outputs import refuse_one_output


class ShapleyCAM(Layered):
    """Cai, CAMs as Shapley Value-based Explainers, 2025 (arXiv 2501.06261): w_c = mean(g_c - (H A)_c / 2).

    g and H are gradient and Hessian of the class's utility in the layer's activations A; the map is sum_c w_c A_c.

    Args:
        utility: "rest" (residual softmax target class, the paper's): score + log probability; "score": the score alone.
            Behind the last layer of a ResNet the score is linear: H is zero, and the map GradCAM's.
        probability: "softmax" over the outputs, or "sigmoid" for a multi-label network.
        **settings: those of `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, utility: str = "rest", probability: str = "softmax", **settings: Any):
        super().__init__(classifier, **settings)
        self.utility = one_of(("rest", "score"), "utility", utility)
        self.probability = one_of(KINDS, "probability", probability)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        # The second derivative: fused attention has none, attention written out has.
        written = sdpa_kernel(SDPBackend.MATH)
        with torch.inference_mode(False), torch.enable_grad(), written, tapped(self.classifier, self.layers) as taps:
            output = self.classifier.network(self.classifier.normalise(image.detach()))
            check_reached(self.layers, taps)
            rows = [self._maps(self._worth(output, target).sum(), taps) for target in targets.tolist()]
        return self.fused([torch.cat(maps) for maps in zip(*rows, strict=True)])

    def _worth(self, output: Tensor, target: int) -> Tensor:
        """(1,): the utility of the class, from the output (1,C) or (1,C,i,j)."""
        output = full(output)
        score = self.classifier.score(output, target)
        if self.utility == "score":
            return score
        if self.probability == "softmax":
            refuse_one_output(output, SETTING)
            return 2 * score - output.flatten(1).logsumexp(1)
        positions = output[0, 0].numel()
        return score + functional.logsigmoid(score - torch.tensor(positions).log().to(score))

    def _maps(self, worth: Tensor, taps: Taps) -> list[Tensor]:
        """(1,h,w) for each layer."""
        maps = []
        layers = [taps.leaf(name) for name in self.layers]
        for name, layer, gradient in zip(
            self.layers, layers, torch.autograd.grad(worth, layers, create_graph=True), strict=True
        ):
            bent = None
            if gradient.requires_grad:  # else the utility is linear in the layer
                (bent,) = torch.autograd.grad(gradient, layer, layer.detach(), retain_graph=True, allow_unused=True)
            weights = gradient if bent is None else gradient - bent / 2
            weights = full(taps.maps(name, weights)).mean((2, 3), keepdim=True)
            maps.append((weights * taps[name]).sum(1).detach())
        return maps
