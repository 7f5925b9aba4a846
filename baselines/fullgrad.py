"""FullGrad: the input's gradient and the gradients of all biases, which together make up the score."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from baselines.contract import Classifier
from baselines.taps import check_reached, tapped
from gpnncam.features import full


class FullGrad:
    """Srinivas and Fleuret, Full-Gradient Representation for Neural Network Visualization, NeurIPS 2019, eq. 8.

    map = psi(x * df/dx) + sum_l sum_c psi(b_l * df/db_l)_c over the layers l with a bias and their channels c, where
    psi(v) = |v|, scaled to [0,1] over the layer as a whole and enlarged bilinearly. Batch norm's bias is what it adds
    to an input of zero: beta - mean gamma / deviation. Biases of linear layers have no place in the picture and are
    left out. x is the normalised picture, f the class's score.
    pytorch-grad-cam scales each channel by itself, which lifts channels that hardly count to the level of all others.

    Args:
        align_corners: of the enlargement; true in the authors' program.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, align_corners: bool = True):
        self.classifier = classifier
        self.align_corners = align_corners
        self.biased: dict[str, nn.Conv2d | nn.BatchNorm2d] = {}
        for name, module in classifier.network.named_modules():
            if isinstance(module, nn.Conv2d | nn.BatchNorm2d) and implied_bias(module) is not None:
                self.biased[name] = module
                classifier.reader(name)  # its layout may take a forward pass, now and not within the method's own

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W)."""
        pixels, gradients = self.gradients(image, targets)
        total = self.scaled(pixels * gradients[0], image.shape[-2:])
        for module, gradient in zip(self.biased.values(), gradients[1:], strict=True):
            bias = implied_bias(module)
            assert bias is not None
            total = total + self.scaled(bias[:, None, None] * gradient, image.shape[-2:])
        return total

    def gradients(self, image: Tensor, targets: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The normalised picture (1,3,H,W); the scores' gradients (K,C,h,w) at it and at each biased layer's output."""
        names = list(self.biased)
        with torch.inference_mode(False), torch.enable_grad(), tapped(self.classifier, names) as taps:
            pixels = self.classifier.normalise(image.detach()).detach().clone().requires_grad_()
            output = self.classifier.network(pixels)
            check_reached(names, taps)
            at = [pixels, *(taps.leaf(name) for name in names)]
            rows = [
                torch.autograd.grad(self.classifier.score(output, target).sum(), at, retain_graph=True)
                for target in targets.tolist()
            ]
        return full(pixels.detach()), [full(torch.cat(gradients)) for gradients in zip(*rows, strict=True)]

    def scaled(self, values: Tensor, size: torch.Size) -> Tensor:
        """psi of values (K,C,h,w), summed over channels: (K,H,W) for size (H,W)."""
        values = values.abs()
        low, high = values.amin((1, 2, 3), keepdim=True), values.amax((1, 2, 3), keepdim=True)
        values = (values - low) / torch.where(high > low, high - low, torch.ones_like(high))
        # The enlargement is linear: the sum over channels may come first.
        summed = values.sum(1, keepdim=True)
        return functional.interpolate(summed, size, mode="bilinear", align_corners=self.align_corners)[:, 0]


def implied_bias(module: nn.Conv2d | nn.BatchNorm2d) -> Tensor | None:
    """(C,): what the layer adds to an input of zero; None if nothing."""
    if isinstance(module, nn.Conv2d):
        return module.bias
    mean, variance = cast(Tensor, module.running_mean), cast(Tensor, module.running_var)
    scale = (variance + module.eps).rsqrt()
    scale = scale if module.weight is None else scale * module.weight
    shift = -mean * scale
    return shift if module.bias is None else shift + module.bias
