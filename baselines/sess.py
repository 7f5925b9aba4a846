"""SESS: any method's maps of windows that slide over the picture at several sizes, weighted by what they show."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from baselines.batches import Batched, Passes
from baselines.blur import blurred
from baselines.contract import Classifier
from baselines.ensemble import seeing
from baselines.probability import KINDS, probability
from baselines.refusals import one_of
from baselines.sizes import check_sides, enlarged, in_proportion, sized

POOLS = ("mean", "max")
TAPS, DEVIATION = 11, 5.0  # of the Gaussian, in cells of the map


class Window(NamedTuple):
    """pixels (3,window,window) at rows top and columns left of the picture at size (h,w)."""

    pixels: Tensor
    top: int
    left: int
    size: tuple[int, int]


class SESS(Batched):
    """Tursun et al., SESS, ECCV 2022, with its authors' program: the picture is enlarged to each side of `scales`, and
    windows slide over it. A window's map, rectified and scaled to [0,1], is weighted by the class's probability in the
    window (of the largest in any), put where the window lies and brought to one size; positions take the mean of those
    maps that are above theta there.

    Cost: a pass of the inner method a window; with drop, one more forward pass for all windows.

    Args:
        inner: the method that explains a window, as its YAML states it (name, blind, build).
        scales: shorter sides in pixels; the authors' are 224, 288, ..., 928. None is below `window`.
        window: side of the windows in pixels; None: the side that the network takes.
        step: the way between windows in pixels; None: as far as a window is wide. The last of a row ends at the
            picture's border.
        drop: share of the windows that are left out, those where the class is least probable.
        pool: "mean" or "max" over the windows' maps.
        theta: maps at or below it take no part in the mean.
        smooth: a Gaussian of 5 cells closes it, as in the authors' program.
        probability: "softmax" over classes (the authors') or "sigmoid".
        batch: windows per forward pass that find out which are dropped; None: by the largest activation.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(
        self,
        classifier: Classifier,
        inner: Mapping[str, Any],
        scales: Sequence[int] = tuple(range(224, 929, 64)),
        window: int | None = None,
        step: int | None = None,
        drop: float = 0.0,
        pool: str = "mean",
        theta: float = 0.0,
        smooth: bool = True,
        probability: str = "softmax",
        batch: int | None = None,
    ):
        self.classifier, self.inner = classifier, seeing(classifier, inner)
        self.scales = check_sides(scales, "scales")
        self.window = classifier.side if window is None else window
        self.step = self.window if step is None else step
        if not 1 <= self.window <= min(self.scales) or self.step < 1:
            raise ValueError(
                f"SESS needs windows of at least 1 pixel and at most the smallest scale, and a step of at least 1: "
                f"method.build.window={self.window} method.build.step={self.step} method.build.scales={self.scales}"
            )
        if not 0 <= drop < 1 or not 0 <= theta < 1:
            raise ValueError(f"SESS needs 0 <= drop < 1 and 0 <= theta < 1, not {drop} and {theta}")
        self.drop, self.theta, self.smooth = drop, theta, smooth
        self.pool, self.probability = one_of(POOLS, "pool", pool), one_of(KINDS, "probability", probability)
        self.passes = Passes(classifier, batch, most=16)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w) from 0; the shorter of h and w is a window's."""
        with torch.inference_mode(False):
            windows = list(self.windows(image.detach().clone()))
            size = in_proportion(image.shape[-2:], self.window)
            kept = self._kept(windows, targets)
            pooled = _Pooled(image.new_zeros(len(targets), *size), self.pool, self.theta)
            found = []
            for number, window in enumerate(windows):
                rows = kept[:, number].nonzero().flatten()
                if len(rows):
                    found.append((rows, window, *self._explained(window, targets[rows.to(targets.device)])))
            # The largest probability of any window: a dropped one is below all kept ones.
            highest = image.new_zeros(len(targets))
            for rows, _, _, chances in found:
                highest[rows] = torch.maximum(highest[rows], chances)
            for rows, window, maps, chances in found:
                share = chances / torch.where(highest[rows] > 0, highest[rows], 1)
                pooled.add(rows, window, maps * share[:, None, None])
            merged = pooled.maps()
            return blurred(merged, TAPS, DEVIATION) if self.smooth else merged

    def windows(self, image: Tensor) -> Iterator[Window]:
        """All windows of image (3,H,W), scale by scale, row by row."""
        for scale in self.scales:
            picture = sized(image, scale, "bilinear")
            height, width = picture.shape[-2:]
            for top in _starts(height, self.window, self.step):
                for left in _starts(width, self.window, self.step):
                    part = picture[:, top : top + self.window, left : left + self.window]
                    yield Window(part, top, left, (height, width))

    def _kept(self, windows: Sequence[Window], targets: Tensor) -> Tensor:
        """(K,N) bool: the windows whose maps count for each class."""
        kept = torch.ones(len(targets), len(windows), dtype=torch.bool, device=windows[0].pixels.device)
        count = int(self.drop * len(windows))
        if count:
            chances: list[Tensor] = []
            with torch.no_grad():
                for rows in self.passes.parts(torch.arange(len(windows)), windows[0].pixels):
                    pixels = torch.stack([windows[row].pixels for row in rows.tolist()])
                    chances.append(self._chances(self.passes(self.classifier.normalise(pixels)), targets))
            order = torch.cat(chances, 1).sort(dim=1, stable=True).indices
            kept.scatter_(1, order[:, :count], False)
        return kept

    def _chances(self, output: Tensor, targets: Tensor) -> Tensor:
        """(K,B) probabilities of the classes."""
        return torch.stack(
            [probability(self.classifier, output, target, self.probability) for target in targets.tolist()]
        ).detach()

    def _explained(self, window: Window, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The inner method's maps (K,window,window) in [0,1], and the classes' probabilities (K,) in the window."""
        pixels = self.classifier.normalise(window.pixels)
        with _first_output(self.classifier.network, pixels) as outputs:
            maps = self.inner(window.pixels.clone(), targets)
        if not outputs:  # the inner method never passes the window itself
            with torch.no_grad():
                outputs.append(self.classifier.network(pixels))
        maps = enlarged(maps.clamp(min=0), (self.window, self.window))
        low, high = maps.amin((1, 2), keepdim=True), maps.amax((1, 2), keepdim=True)
        return (maps - low) / torch.where(high > low, high - low, 1), self._chances(outputs[0], targets)[:, 0]


class _Pooled:
    """Windows' maps on the whole picture (K,h,w), pooled as they come."""

    def __init__(self, empty: Tensor, pool: str, theta: float):
        self.total, self.counts, self.pool, self.theta = empty, torch.zeros_like(empty), pool, theta

    def add(self, rows: Tensor, window: Window, maps: Tensor) -> None:
        """maps (R,window,window) of the classes `rows`."""
        canvas = maps.new_zeros(len(maps), *window.size)
        side = maps.shape[-1]
        canvas[:, window.top : window.top + side, window.left : window.left + side] = maps
        whole = enlarged(canvas, self.total.shape[1:])
        if self.pool == "max":
            self.total[rows] = torch.maximum(self.total[rows], whole)
        else:
            counted = whole > self.theta
            self.total[rows] += torch.where(counted, whole, 0)
            self.counts[rows] += counted

    def maps(self) -> Tensor:
        """(K,h,w)."""
        return self.total if self.pool == "max" else self.total / self.counts.clamp(min=1)


def _starts(length: int, window: int, step: int) -> list[int]:
    """Where windows begin: every `step`, the last one shifted back so that it ends with the picture."""
    starts = list(range(0, length - window, step))
    return [*starts, length - window]


@contextmanager
def _first_output(network: nn.Module, pixels: Tensor) -> Iterator[list[Tensor]]:
    """Within the block the yielded list gets what the network returns for these very pixels (1,3,h,w), once."""
    outputs: list[Tensor] = []

    def watch(_module: nn.Module, inputs: tuple, output: Tensor) -> None:
        if not outputs and inputs and inputs[0].shape == pixels.shape and torch.equal(inputs[0], pixels):
            outputs.append(output.detach())

    handle = network.register_forward_hook(watch)
    try:
        yield outputs
    finally:
        handle.remove()
