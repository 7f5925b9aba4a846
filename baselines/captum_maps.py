"""Gradient-type maps and occlusion, the latter through captum."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from captum.attr import Occlusion as CaptumOcclusion
from torch import Tensor, nn

from baselines.batches import Batched, Passes
from baselines.contract import Classifier
from baselines.pixel_maps import CHANNELS, join
from baselines.rectifiers import Rectifiers
from baselines.refusals import one_of, refuse
from gpnncam.features import full

# Their derivative may be negative or their output negative: what "passes positive gradients only" means there is open.
SMOOTH = (nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish, nn.ELU, nn.LeakyReLU)


@contextmanager
def differentiable() -> Iterator[None]:
    """Autograd on, whatever the caller's mode."""
    with torch.inference_mode(False), torch.enable_grad():
        yield


class Gradient:
    """Simonyan et al., Deep Inside Convolutional Networks, ICLR Workshop 2014: |d score / d pixel|.

    All classes share the forward pass, and each has a backward pass of its own.

    Args:
        channels: see `baselines.pixel_maps.join`.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, channels: str = "maximum"):
        self.classifier = classifier
        self.channels = one_of(tuple(CHANNELS), "channels", channels)

    def output(self, pixels: Tensor) -> Tensor:
        """The network's output, with the graph that leads to it from pixels (B,3,H,W)."""
        return self.classifier.network(pixels)

    def gradients(self, pixels: Tensor, targets: list[int]) -> Iterator[Tensor]:
        """Of each class's scores for pixels (B,3,H,W) normalised: (B,3,H,W)."""
        pixels = pixels.detach().clone().requires_grad_()
        output = self.output(pixels)
        for number, target in enumerate(targets, 1):
            score = self.classifier.score(output, target).sum()
            yield torch.autograd.grad(score, pixels, retain_graph=number < len(targets))[0]

    def values(self, pixels: Tensor, targets: list[int]) -> Tensor:
        """pixels (1,3,H,W) -> (K,3,H,W), one number a normalised pixel and channel."""
        return torch.cat(list(self.gradients(pixels, targets)))

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W)."""
        return self.finish(self.raw(image, targets))

    def raw(self, image: Tensor, targets: Tensor) -> Tensor:
        """What stands before the channels join, with its sign: (K,3,H,W). SmoothGrad averages this."""
        with differentiable():
            return full(self.values(full(self.classifier.normalise(image)), targets.tolist()))

    def finish(self, values: Tensor) -> Tensor:
        """(K,3,H,W) -> maps (K,H,W)."""
        return join(values, self.channels)


class GuidedBackprop(Gradient):
    """Springenberg et al., Striving for Simplicity, ICLR Workshop 2015: ReLUs pass positive gradients only.

    A ReLU is one wherever the network computes it, in a module or by calling a function (`baselines.rectifiers`), and a
    ReLU6 is one too. Raises ValueError for a network without any, whose map would be the plain gradient, and for one
    with other activations beside them.

    Args:
        channels: see `baselines.pixel_maps.join`.
    """

    version = 2  # raised when its maps change for equal settings; 2: ReLUs that are functions take part

    name = "guided backprop"

    def __init__(self, classifier: Classifier, channels: str = "maximum"):
        super().__init__(classifier, channels)
        refuse(classifier, self.name, SMOOTH, "changes the gradient of ReLUs, and is defined for no other kind")
        if not any(isinstance(module, nn.ReLU | nn.ReLU6) for module in classifier.network.modules()):
            seen = classifier.images_seen  # whether it calls any shows in a pass alone, which is no picture's
            with differentiable():
                grey = torch.full((3, classifier.side, classifier.side), 0.5, device=classifier.device)
                self.output(classifier.normalise(grey).requires_grad_())
            classifier.images_seen = seen

    @staticmethod
    def rule(below: Tensor, _above: Tensor) -> Tensor:
        """The gradient that a ReLU hands on, from the one below it and the one above."""
        return below.clamp(min=0)

    def output(self, pixels: Tensor) -> Tensor:
        """Of a pass whose ReLUs hand on by the rule; ValueError where it has none."""
        with Rectifiers(self.rule, self.name) as rectifiers:
            output = super().output(pixels)
        if not rectifiers.count:
            raise ValueError(f"{self.name} changes the gradient of ReLUs, and the network has none")
        return output


class Deconvnet(GuidedBackprop):
    """Zeiler and Fergus, Visualizing and Understanding CNNs, ECCV 2014: a ReLU turns the gradient R above it into
    max(0, R), whether its input was positive or not.

    Raises ValueError as guided backprop does.
    """

    version = 2  # raised when its maps change for equal settings; 2: ReLUs that are functions take part

    name = "deconvnet"

    @staticmethod
    def rule(_below: Tensor, above: Tensor) -> Tensor:
        """Whatever the input was, the gradient above, where it is positive."""
        return above.clamp(min=0)


class IntegratedGradients(Gradient):
    """Sundararajan et al., Axiomatic Attribution for Deep Networks, ICML 2017, eq. 1.

    Args:
        steps: points of the Gauss-Legendre rule on the line from the baseline.
        baseline: "black" (the paper's) or "grey", the mean of the training pictures.
        batch: points per pass, which all classes share.
        channels: "sum", so that the map adds up to score - score(baseline).
    """

    version = 1  # raised when its maps change for equal settings
    speed = ("batch",)  # settings that change no map but for rounding

    def __init__(
        self,
        classifier: Classifier,
        steps: int = 50,
        baseline: str = "black",
        batch: int = 10,
        channels: str = "sum",
    ):
        super().__init__(classifier, channels)
        if steps < 1 or batch < 1:
            raise ValueError("integrated gradients need steps and batch of at least 1")
        self.steps = steps
        self.baseline = one_of(("black", "grey"), "baseline", baseline)
        self.batch = batch

    def values(self, pixels: Tensor, targets: list[int]) -> Tensor:
        """pixels (1,3,H,W) -> (K,3,H,W), one number a normalised pixel and channel."""
        start = torch.zeros_like(pixels)
        if self.baseline == "black":
            start = self.classifier.normalise(start)
        places, weights = np.polynomial.legendre.leggauss(self.steps)
        rule = [torch.from_numpy(each / 2).to(pixels).view(-1, 1, 1, 1) for each in (1 + places, weights)]
        line = pixels - start
        total = torch.zeros(len(targets), *pixels.shape[1:]).to(pixels)
        for at, weight in zip(*(each.split(self.batch) for each in rule), strict=True):
            for row, gradient in enumerate(self.gradients(start + at * line, targets)):
                total[row] += (weight * gradient).sum(0)
        return total * line


class Occlusion(Batched):
    """Zeiler and Fergus, Visualizing and Understanding CNNs, ECCV 2014: what the score loses behind a grey square.

    Args:
        window: side of the square, in pixels of the network's input.
        stride: between squares, alike. A pixel's value is the mean loss over the squares that cover it, and the map has
            steps of the stride's size.
        batch: squares per pass; None: by the largest activation (`baselines.batches`). All classes share the
            occluded pictures.
    """

    version = 1  # raised when its maps change for equal settings
    libraries = ("captum",)
    speed = ("batch",)  # settings that change no map but for rounding

    def __init__(self, classifier: Classifier, window: int = 32, stride: int = 16, batch: int | None = None):
        if min(window, stride) < 1 or stride > window:
            raise ValueError("occlusion needs window and stride of at least 1, and a stride within the window")
        self.classifier = classifier
        self.window = window
        self.stride = stride
        self.passes = Passes(classifier, batch, most=32)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W). ValueError if the window exceeds the picture."""
        height, width = image.shape[-2:]
        if self.window > min(height, width):
            raise ValueError(f"the window of {self.window} pixels exceeds the input of {width} x {height}")
        outputs: list[Tensor] = []
        values = []
        with torch.no_grad():
            pixels = full(self.classifier.normalise(image))
            count, channels = self.passes.at_once(pixels), pixels.shape[1]
            for target in targets.tolist():
                # captum asks for the same pictures in the same order for every class: later classes get the outputs of
                # the first.
                remembered = iter(list(outputs))

                def score(batch: Tensor, target: int = target, remembered: Iterator[Tensor] = remembered) -> Tensor:
                    output = next(remembered, None)
                    if output is None:
                        output = self.classifier.network(batch)
                        outputs.append(output)
                    return self.classifier.score(output, target)

                values.append(
                    CaptumOcclusion(score).attribute(
                        pixels,
                        sliding_window_shapes=(channels, self.window, self.window),
                        strides=(channels, self.stride, self.stride),
                        perturbations_per_eval=count,
                    )
                )
        # The squares cover all colours, so the channels carry the same number.
        return join(full(torch.cat(values).to(pixels)) / channels, "sum")
