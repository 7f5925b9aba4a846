"""iGOS++: two coarse masks, one that deletes the class from the picture and one that brings it back into a blur."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional

from baselines.blur import blurred
from baselines.contract import Classifier
from baselines.probability import KINDS, probability
from baselines.refusals import at_least_one, one_of
from baselines.sizes import in_proportion

# Of the authors' program: the blur of pictures below 500 pixels, and the backtracking line search.
BLUR_TAPS, BLUR_DEVIATION = 51, 50.0
SLOPE, DECAY, SMALLEST_RATE = 1e-4, 0.2, 1e-5


class IGOSPlusPlus:
    """Khorram, Lawson and Fuxin, iGOS++, CHIL 2021, eq. 9-12: masks x (deletion) and y (insertion) in [0,1] minimise

        f(I, B, x) - f(B, I, y) + f(I, B, xy) - f(B, I, xy) + area mean(1 - xy) + variation BTV(xy),

    where f(P, Q, m) is the mean of the class's probability over the pictures P tm + Q (1 - tm), t = 1/steps, ..., 1
    (its gradient is the integrated one). I is the picture and B its blur; both masks start at 1. BTV is the squared
    variation of the mask, once on its own grid and once on the picture's, there weighted by exp(-(difference of
    neighbouring pixels)^2 / sigma), and averaged. The map is 1 - xy, enlarged to the picture.

    As in the authors' program, descent follows half the gradient of the four probabilities, and the line search looks
    at the whole of them. Cost: 4 iterations steps forward and backward passes a class, and 4 steps forward passes for
    each loss of the line search, at least two an iteration.

    Args:
        cells: of the masks' shorter side.
        iterations: 15 in the authors' function; their command passes it in place of `steps`.
        steps: of the integrated gradient, 20 in the authors' function.
        area: weight of the deleted area.
        variation: weight of BTV.
        sigma: squared difference of pixels across which the masks may jump, in the network's units.
        rate: of the first step that the line search tries; it is multiplied by 0.2 until the loss falls enough.
        noise: deviation of the noise on every picture that the network sees, in the network's units.
        probability: "softmax" over classes (the authors') or "sigmoid".
        batch: pictures per pass.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(
        self,
        classifier: Classifier,
        cells: int = 28,
        iterations: int = 15,
        steps: int = 20,
        area: float = 1.0,
        variation: float = 20.0,
        sigma: float = 0.01,
        rate: float = 1000.0,
        noise: float = 0.2,
        probability: str = "softmax",
        batch: int = 20,
    ):
        if min(iterations, steps) < 1 or cells < 2 or not sigma > 0 or not rate > 0 or min(area, variation, noise) < 0:
            raise ValueError(
                "iGOS++ needs iterations, steps >= 1, cells >= 2, sigma, rate > 0 and area, variation, noise >= 0"
            )
        self.classifier = classifier
        self.cells, self.iterations, self.steps = cells, iterations, steps
        self.area, self.variation, self.sigma, self.rate, self.noise = area, variation, sigma, rate, noise
        self.probability, self.batch = one_of(KINDS, "probability", probability), at_least_one(batch)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W) in [0,1]."""
        seed = int(torch.randint(2**62, ()))  # every class sees the same noise
        with torch.inference_mode(False), torch.enable_grad():
            image = image.detach().clone()
            picture, blur = (
                self.classifier.normalise(each) for each in (image, blurred(image, BLUR_TAPS, BLUR_DEVIATION))
            )
            searches = [_Search(self, picture, blur, target, seed) for target in targets.tolist()]
            return torch.stack([1 - search.mask() for search in searches])


class _Search:
    """The two masks of one class. picture, blur (1,3,H,W): normalised."""

    def __init__(self, settings: IGOSPlusPlus, picture: Tensor, blur: Tensor, target: int, seed: int):
        self.of, self.picture, self.blur, self.target = settings, picture, blur, target
        self.generator = torch.Generator().manual_seed(seed)
        down, right = (picture.diff(dim=axis).square().mean(1, keepdim=True) for axis in (2, 3))
        self.alike = [(-each / settings.sigma).exp() for each in (down, right)]

    def mask(self) -> Tensor:
        """xy (H,W) after the last iteration."""
        size = in_proportion(self.picture.shape[-2:], self.of.cells)
        masks = self.picture.new_ones(2, 1, *size)
        for _ in range(self.of.iterations):
            gradient = self._gradient(masks)
            masks = (masks - self._rate(masks, gradient) * gradient).clamp(0, 1)
        return self._enlarged(masks.prod(0, keepdim=True))[0, 0]

    def _gradient(self, masks: Tensor) -> Tensor:
        """(2,1,h,w): half of the probabilities' and all of the penalties'."""
        masks = masks.detach().requires_grad_()
        total = torch.zeros_like(masks)
        for term in self._probabilities(masks):
            total += torch.autograd.grad(term, masks)[0] / 2
        return total + torch.autograd.grad(self._penalties(masks), masks)[0]

    def _rate(self, masks: Tensor, gradient: Tensor) -> float:
        """The first of rate, 0.2 rate, ... whose step lowers the loss enough, or one that is as good as none."""
        with torch.no_grad():
            before, rate = self._loss(masks), self.of.rate
            enough = -SLOPE * float(gradient.square().sum())
            while self._loss((masks - rate * gradient).clamp(0, 1)) > before + rate * enough and rate >= SMALLEST_RATE:
                rate *= DECAY
            return rate

    def _loss(self, masks: Tensor) -> float:
        return float(sum(self._probabilities(masks))) + float(self._penalties(masks))

    def _probabilities(self, masks: Tensor) -> Iterator[Tensor]:
        """f(I, B, xy) - f(B, I, xy) + f(I, B, x) - f(B, I, y) in parts, one for each pass."""
        shares = torch.linspace(1 / self.of.steps, 1, self.of.steps).to(masks).view(-1, 1, 1, 1)
        for sign, which in ((1, (0, 1)), (-1, (0, 1)), (1, (0,)), (-1, (1,))):
            first, second = (self.picture, self.blur) if sign > 0 else (self.blur, self.picture)
            for part in shares.split(self.of.batch):
                # Enlarged anew for each part, whose backward pass frees what is before it.
                mask = part * self._enlarged(masks)[list(which)].prod(0, keepdim=True)
                pictures = first * mask + second * (1 - mask)
                drawn = torch.randn(pictures.shape, generator=self.generator).to(pictures)
                output = self.of.classifier.network(pictures + self.of.noise * drawn)
                chances = probability(self.of.classifier, output, self.target, self.of.probability)
                yield sign * chances.sum() / self.of.steps

    def _penalties(self, masks: Tensor) -> Tensor:
        mask = masks.prod(0, keepdim=True)
        whole = self._enlarged(mask)
        variation = mask.new_zeros(())
        for axis, alike in zip((2, 3), self.alike, strict=True):
            variation = variation + mask.diff(dim=axis).square().mean()
            variation = variation + (alike * whole.diff(dim=axis).square()).mean()
        # Where nothing is deleted yet, the absolute value has no gradient, as in the authors' program: the first step
        # follows the probabilities alone.
        return self.of.area * (1 - mask).abs().mean() + self.of.variation * variation / 2

    def _enlarged(self, masks: Tensor) -> Tensor:
        """masks (N,1,h,w) -> (N,1,H,W), whose corner cells lie on the picture's corners, as in the authors' program."""
        return functional.interpolate(masks, self.picture.shape[-2:], mode="bilinear", align_corners=True)
