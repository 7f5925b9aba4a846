"""Deletion and insertion (Petsiuk et al., RISE, BMVC 2018, section 4.2): the class's probability while the most
important pixels leave the picture, or enter a blurred one."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from torch.nn import functional

from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Curve, Score, lines
from eval.measures.network_outputs import outputs, plain
from eval.measures.ranking import ranks
from eval.networks.classifier import Classifier
from eval.networks.probability import check_kind, probabilities

TARGETS = ("annotated", "predicted")


def area(shares: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(n,) area under each of n curves by trapezes: values (n,m) at shares (n,m) from 0 to 1, both NaN behind the end
    of a shorter curve; NaN for a curve without points. Of even steps it is RISE's formula; a last, shorter step counts
    by its length."""
    parts = np.diff(shares, axis=1) * (values[:, 1:] + values[:, :-1]) / 2
    return np.where(np.isnan(values).all(1), np.nan, np.nansum(parts, axis=1))


def _curves(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(shares, values), (n,m) both, see `area`. Pictures of different sizes have curves of different lengths."""
    values = lines(rows, "curve", ragged=True)
    shares = np.minimum(np.arange(values.shape[1]) * rows[["step"]].to_numpy(float), 1)
    return np.where(np.isnan(values), np.nan, shares), values


def _points(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    shares, values = _curves(rows)
    known = np.flatnonzero(~np.isnan(values).all(1))
    if not len(known):
        return np.linspace(0, 1, values.shape[1]), values
    finest = known[np.isfinite(values[known]).sum(1).argmax()]
    at = shares[finest][np.isfinite(shares[finest])]
    even = np.full((len(rows), len(at)), np.nan)
    for row in known:  # others are read between their own points
        there = np.isfinite(values[row])
        even[row] = np.interp(at, shares[row][there], values[row][there])
    return at, even


def _area(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
    return area(*_curves(rows)) if "curve" in rows else np.full(len(rows), np.nan)


def mean_colour(image: Tensor, classifier: Classifier) -> Tensor:
    """(3,h,w) of the mean colour of the network's training data: 0 where the network sees normalised pixels."""
    return classifier.mean[0].to(image).expand_as(image)


def black(image: Tensor, _classifier: Classifier) -> Tensor:
    """(3,h,w) of zeros."""
    return torch.zeros_like(image)


def blurred(image: Tensor, classifier: Classifier, side: int = 11, sigma: float = 5.0) -> Tensor:
    """(3,h,w): the picture under RISE's Gaussian, `side` pixels wide and high.

    RISE's kernel is what scipy's filter makes of a point on a side x side canvas, its tails reflected. It is applied to
    normalised pixels with zeros around them and not divided by the weight inside: towards the border the picture
    fades into the mean colour. A picture may be smaller than the kernel.
    """
    point = np.zeros(side)
    point[side // 2] = 1
    weights = torch.from_numpy(gaussian_filter1d(point, sigma)).to(image)
    mean = mean_colour(image, classifier)
    rows = functional.conv2d((image - mean)[:, None], weights.view(1, 1, -1, 1), padding=(side // 2, 0))
    return mean + functional.conv2d(rows, weights.view(1, 1, 1, -1), padding=(0, side // 2))[:, 0]


SUBSTRATES: dict[str, Callable[[Tensor, Classifier], Tensor]] = {
    "mean": mean_colour, "black": black, "blur": blurred,
}  # fmt: skip


class _Replacement:
    """A curve along which one picture replaces another, the most important pixels first, `step` pixels at a time.

    substrate: what stands for a pixel that is not the picture's: "mean", "black" or "blur". target: the pair's class,
    "annotated", or the unchanged picture's highest output, "predicted". batch: see `outputs`.
    """

    version = 2
    fields = ("curve", "step")
    speed = ("batch",)
    unchanged: int  # where on the path the picture itself is

    def __init__(self, step: int, substrate: str, target: str, probability: str, batch: int | None):
        if step < 1:
            raise ValueError(f"step is {step}; at least one pixel must change at a time")
        if substrate not in SUBSTRATES:
            raise ValueError(f"substrate is {substrate!r}; known are {', '.join(SUBSTRATES)}")
        if target not in TARGETS:
            raise ValueError(f"target is {target!r}; known are {', '.join(TARGETS)}")
        self.step, self.substrate, self.target, self.batch = step, SUBSTRATES[substrate], target, batch
        self.probability = check_kind(probability)

    def ends(self, image: Tensor, substrate: Tensor) -> tuple[Tensor, Tensor]:
        """The path's first and last picture, of the picture and what stands for its pixels, (3,h,w) each."""
        return (image, substrate) if self.unchanged == 0 else (substrate, image)

    def path(self, case: Case, places: Tensor) -> Iterator[Tensor]:
        """The pictures of the curve (3,h,w), first to last; places: see `ranks`."""
        first, last = self.ends(case.image, self.substrate(case.image, case.classifier))
        for count in [*range(0, places.numel(), self.step), places.numel()]:
            yield torch.where(places < count, last, first)

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """curve: the probabilities, from no pixel replaced to all of them; None for a constant map. step: the share of
        the pixels that is replaced between two points, the last two aside."""
        places = [ranks(case) for case in cases]
        ordered = [(case, place) for case, place in zip(cases, places, strict=True) if place is not None]
        if not ordered:
            return [{"curve": None, "step": None} for _ in cases]
        # One stream through all classes of the picture, so that batches stay full across the end of a curve.
        stream = (picture for case, place in ordered for picture in self.path(case, place))
        curves = iter(outputs(cases[0].classifier, stream, self.batch).chunk(len(ordered)))
        step = self.step / cases[0].image[0].numel()
        return [
            {"curve": self._curve(case, next(curves)), "step": step} if place is not None
            else {"curve": None, "step": None}
            for case, place in zip(cases, places, strict=True)
        ]  # fmt: skip

    def _curve(self, case: Case, output: Tensor) -> list[float]:
        chosen = case.classifier.outputs[case.target]
        if self.target == "predicted":
            own = output[self.unchanged]
            chosen = [int(own.reshape(len(own), -1).logsumexp(1).argmax())]
        return plain(probabilities(output, chosen, self.probability))


class Deletion(_Replacement):
    """The class's probability while the most important pixels leave the picture. Low is good.

    step: pixels between two points; RISE's program has 224, its large run 1792 (224 x 8, 28 steps of 224 x 224 pixels).
    """

    name = "deletion"
    unchanged = 0
    scores = (
        Score(
            "deletion", "area under the class's probability while the most important pixels are deleted", "share",
            True, _area, curve=Curve("share of pixels deleted, the most important first", _points),
        ),
    )  # fmt: skip

    def __init__(
        self, step: int = 1792, substrate: str = "mean", target: str = "annotated", probability: str = "softmax",
        batch: int | None = None,
    ):  # fmt: skip
        super().__init__(step, substrate, target, probability, batch)


class Insertion(_Replacement):
    """The class's probability while the most important pixels enter a blurred picture. High is good."""

    name = "insertion"
    unchanged = -1
    scores = (
        Score(
            "insertion", "area under the class's probability while the most important pixels are inserted", "share",
            False, _area, curve=Curve("share of pixels inserted, the most important first", _points),
        ),
    )  # fmt: skip

    def __init__(
        self, step: int = 1792, substrate: str = "blur", target: str = "annotated", probability: str = "softmax",
        batch: int | None = None,
    ):  # fmt: skip
        super().__init__(step, substrate, target, probability, batch)
