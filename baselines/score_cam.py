"""ScoreCAM: each channel of a layer masks the picture, and the class's score of the masked picture is its weight."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from baselines.batches import Batched, Passes
from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.probability import KINDS, probability
from baselines.refusals import one_of


class ScoreCAM(Layered, Batched):
    """Wang et al., Score-CAM, CVPR Workshops 2020, as in the authors' published program.

    Args:
        weights: "probability": a channel weighs what probability the class has in the picture it masks (the authors'
            program). "softmax_logits": the softmax over channels of the class's scores (algorithm 1 of the paper, and
            pytorch-grad-cam).
        probability: "softmax" over classes, as the authors' program computes it for any network, or "sigmoid", what a
            multi-label network was trained for.
        skip_constant: a channel without structure masks nothing and is left out (the authors' program).
        align_corners: of the masks' bilinear enlargement; pytorch-grad-cam uses true.
        batch: masked pictures per forward pass; None: by the largest activation (`baselines.batches`). The masks do not
            depend on the class: all classes share the passes.
        **settings: those of `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings
    speed = ("batch",)  # settings that change no map but for rounding

    def __init__(
        self,
        classifier: Classifier,
        weights: str = "probability",
        probability: str = "softmax",
        skip_constant: bool = True,
        align_corners: bool = False,
        batch: int | None = None,
        **settings: Any,
    ):
        super().__init__(classifier, **settings)
        self.weights = one_of(("probability", "softmax_logits"), "weights", weights)
        self.probability = one_of(KINDS, "probability", probability)
        self.skip_constant = skip_constant
        self.align_corners = align_corners
        self.passes = Passes(classifier, batch, most=16)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        with torch.no_grad():
            pixels, _, layers = self.activations(image)
            return self.fused(
                [
                    torch.einsum("kc,chw->khw", self.channel_weights(pixels, channels, targets), channels)
                    for (channels,) in layers
                ]
            )

    def channel_weights(self, pixels: Tensor, channels: Tensor, targets: Tensor) -> Tensor:
        """pixels (1,3,H,W) normalised, so that a masked pixel is mean grey; channels (C,h,w) -> weights (K,C)."""
        lowest, highest = channels.amin((1, 2)), channels.amax((1, 2))
        live = torch.arange(len(channels), device=channels.device)
        if self.skip_constant:
            live = live[highest > lowest]
        empty = 0.0 if self.weights == "probability" else -torch.inf
        scores = torch.full((len(targets), len(channels)), empty, dtype=channels.dtype, device=channels.device)
        for chosen in self.passes.parts(live, pixels):
            masks = functional.interpolate(
                channels[chosen, None], pixels.shape[-2:], mode="bilinear", align_corners=self.align_corners
            )
            low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
            spread = torch.where(high > low, high - low, torch.ones_like(high))
            output = self.passes(pixels * masks.sub_(low).div_(spread))
            for row, target in enumerate(targets.tolist()):
                if self.weights == "probability":
                    scores[row, chosen] = probability(self.classifier, output, target, self.probability)
                else:
                    scores[row, chosen] = self.classifier.score(output, target)
        if self.weights == "probability":
            return scores
        return scores.softmax(1) if len(live) else torch.zeros_like(scores)
