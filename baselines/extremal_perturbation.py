"""Extremal perturbations: of all smooth masks of a given area, those under which the class scores highest."""

import math
from collections.abc import Callable, Sequence
from itertools import count

import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from baselines.contract import Classifier
from gpnncam.features import full

# Of the authors' program; the paper states the temperature, the penalty's factor and its growth.
TEMPERATURE = 20.0
PENALTY, GROWTH = 300.0, 1.0035
LEARNING_RATE, MOMENTUM = 0.01, 0.9
DEEPEST_BLUR = 20.0


class ExtremalPerturbation:
    """Fong, Patrick and Vedaldi, Extremal Perturbations, ICCV 2019, eq. 4-6, the preservation game.

    A mask m (1: the picture, 0: blurred most) maximises score(m) - lambda mean((sorted(m) - r_a)^2), where r_a is one
    on the last share a of its places and zero before; lambda starts at 300 and grows by 0.35 % a step. m is made from
    a coarse grid of numbers g in [0,1] by a smooth maximum over the cells v around each pixel u:
    m(u) = smax_v k(|u - v| / sigma) g(v), k(z) = exp(-2 max(0, z - 1/2)^2). The map is the sum of the masks.

    A fully convolutional network is scored by the mean of its map of logits, as TorchRay does.

    Args:
        areas: shares of the picture; TorchRay's for VOC; for COCO 0.018, 0.025, 0.05, 0.1.
        max_iter: steps of gradient ascent, each a forward and a backward pass per area and class.
        step: of the grid, in pixels of the network's input.
        sigma: of its kernel, alike.
        levels: pictures between no blur and a Gaussian of 20 pixels, between which a mask's values interpolate.
        jitter: every other step sees the picture mirrored.
        batch: masks per pass, over areas and classes. With the number of areas, a class's map does not depend on the
            other targets; on a GPU more are faster, and a class's map then follows the others' rounding.
        progress: called with (steps done, steps to do) after each step; None: a bar on a terminal.
    """

    version = 1  # raised when its maps change for equal settings
    speed = ("batch",)  # settings that change no map but for rounding

    def __init__(
        self,
        classifier: Classifier,
        areas: Sequence[float] = (0.025, 0.05, 0.1, 0.2),
        max_iter: int = 800,
        step: int = 7,
        sigma: float = 21.0,
        levels: int = 8,
        jitter: bool = True,
        batch: int = 4,
        progress: Callable[[int, int], object] | None = None,
    ):
        if not areas or not all(0 < area < 1 for area in areas):
            raise ValueError(f"extremal perturbations need areas between 0 and 1, not {list(areas)}")
        if min(max_iter, step, batch) < 1 or levels < 2 or sigma <= 0:
            raise ValueError("extremal perturbations need max_iter, step, batch >= 1, levels >= 2 and sigma > 0")
        self.classifier = classifier
        self.areas = tuple(areas)
        self.max_iter = max_iter
        self.step = step
        self.sigma = sigma
        self.levels = levels
        self.jitter = jitter
        self.batch = batch
        self.progress = progress

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W): the masks of all areas, summed."""
        return self.masks(image, targets).sum(1)

    def masks(self, image: Tensor, targets: Tensor) -> Tensor:
        """(K,A,H,W) in [0,1]: a mask for each class and area."""
        wanted = [(target, area) for target in targets.tolist() for area in self.areas]
        chunks = [wanted[first : first + self.batch] for first in range(0, len(wanted), self.batch)]
        with torch.inference_mode(False), torch.enable_grad():
            pyramid = blurred(full(self.classifier.normalise(image.detach().clone())), self.levels)
            smooth = SmoothMasks(image.shape[-2:], self.step, self.sigma, pyramid)
            total = len(chunks) * self.max_iter
            with tqdm(total=total, desc="masks", unit="step", leave=False, disable=None) as bar:
                steps = count(1)

                def tell() -> None:
                    bar.update()
                    if self.progress is not None:
                        self.progress(next(steps), total)

                masks = [self._ascend(pyramid, smooth, chunk, tell) for chunk in chunks]
        return torch.cat(masks).unflatten(0, (len(targets), len(self.areas)))

    def _ascend(
        self, pyramid: Tensor, smooth: "SmoothMasks", wanted: list[tuple[int, float]], tell: Callable[[], None]
    ) -> Tensor:
        """The masks (N,H,W) of (class, area) pairs after the last step."""
        grid = pyramid.new_ones(len(wanted), *smooth.cells)
        velocity = torch.zeros_like(grid)
        places = torch.arange(math.prod(smooth.whole), device=grid.device)
        ones = torch.stack([(places >= int(len(places) * (1 - area))).to(grid) for _, area in wanted])
        for number in range(self.max_iter):
            grid.requires_grad_()
            whole = smooth(grid)
            masks = smooth.inside(whole)
            pictures = between(pyramid, masks)
            output = self.classifier.network(pictures.flip(3) if self.jitter and number % 2 == 0 else pictures)
            # Where the mask is flat, rounding decides which pixels the area counts first: the same operations as in the
            # program make the same masks, others that are as exact make other ones.
            penalty = ((whole.flatten(1).sort(1).values - ones) ** 2).mean(1) * (PENALTY * GROWTH**number)
            energy = self._scores(output, wanted) - penalty
            (gradient,) = torch.autograd.grad(energy.sum(), grid)
            # The program's momentum is dampened by the same factor; its first step, as torch's SGD has it, is not.
            velocity = gradient if number == 0 else MOMENTUM * velocity + (1 - MOMENTUM) * gradient
            grid = (grid.detach() + LEARNING_RATE * velocity).clamp(0, 1)
            tell()
        return masks.detach()

    def _scores(self, output: Tensor, wanted: list[tuple[int, float]]) -> Tensor:
        """(N,): each picture's score for its own class."""
        output = full(output).flatten(2).mean(2) if output.dim() == 4 else output
        return torch.cat([self.classifier.score(output[i : i + 1], target) for i, (target, _) in enumerate(wanted)])


def blurred(pixels: Tensor, levels: int) -> Tensor:
    """pixels (1,3,H,W) -> (levels,3,H,W), from the deepest blur to the picture; outside of the picture it is zero."""
    stack = []
    for level in range(levels):
        sigma = DEEPEST_BLUR * (1 - level / (levels - 1))
        radius = math.ceil(4 * sigma)
        offsets = torch.arange(-radius, radius + 1, dtype=pixels.dtype, device=pixels.device)
        kernel = (-(offsets**2) / (2 * sigma**2)).exp() if radius else torch.ones_like(offsets)
        kernel = (kernel / kernel.sum()).view(1, 1, 1, -1)
        planes = functional.conv2d(pixels.transpose(0, 1), kernel.transpose(2, 3), padding=(radius, 0))
        stack.append(functional.conv2d(planes, kernel, padding=(0, radius)).transpose(0, 1))
    return torch.cat(stack)


def between(pyramid: Tensor, masks: Tensor) -> Tensor:
    """Pictures (N,3,H,W): each pixel from the level of the pyramid (L,3,H,W) that its mask (N,H,W) in [0,1] names."""
    place = masks[:, None] * (len(pyramid) - 1)
    level = place.detach().floor().long().clamp(max=len(pyramid) - 2)
    share = place - level
    stack = pyramid[:, None].expand(-1, len(masks), -1, -1, -1)
    index = level.expand(-1, pyramid.shape[1], -1, -1)[None]
    return (1 - share) * stack.gather(0, index)[0] + share * stack.gather(0, index + 1)[0]


class SmoothMasks:
    """From grids (N,gh,gw) to masks (N,h,w) with a margin of sigma around the picture, in which cells count too.

    size: (height, width) of the picture; step, sigma: pixels; like: a tensor of the dtype and device to use.
    cells: (gh, gw), whole: (h, w).
    """

    def __init__(self, size: Sequence[int], step: int, sigma: float, like: Tensor):
        self.size, self.step = size, step
        self.margin = round(sigma)
        self.radius = 1 + math.ceil(sigma / step)
        # The program has one step less if sigma is no multiple of the step: the picture's end then lies outside.
        self.padding = self.radius + math.ceil(sigma / step)
        self.cells = tuple(math.ceil(side / step) for side in size)
        self.tiles = tuple(side + 2 * (self.padding - self.radius) for side in self.cells)
        self.whole = tuple(step * side - step + 1 for side in self.tiles)
        # A pixel's distance from the cells that it looks at depends on its place in its tile alone: (R,1,step,1,step).
        offsets = step * (torch.arange(2 * self.radius + 1, device=like.device) - self.padding)
        away = (torch.arange(step, device=like.device) - sigma - offsets[:, None]) ** 2
        distance = (away[:, None, :, None] + away[None, :, None, :]).sqrt().flatten(0, 1) / sigma
        self.kernel = (-2 * (distance - 0.5).clamp(min=0) ** 2).exp().to(like)[:, None, :, None, :]

    def __call__(self, grid: Tensor) -> Tensor:
        """(N,gh,gw) -> (N,h,w) in [0,1]."""
        seen = functional.unfold(grid[:, None], 2 * self.radius + 1, padding=self.padding).unflatten(2, self.tiles)
        values = self.kernel * seen[:, :, :, None, :, None]
        whole = (values * (TEMPERATURE * values).softmax(1)).sum(1).flatten(1, 2).flatten(2, 3)
        return whole[:, : self.whole[0], : self.whole[1]].clamp(0, 1)

    def inside(self, whole: Tensor) -> Tensor:
        """(N,h,w) -> (N,H,W): without the margin."""
        rows, columns = (slice(self.margin, self.margin + side) for side in self.size)
        return whole[:, rows, columns]
