"""The mean of any method's maps over changed copies of the picture: noisy ones, mirrored ones, or both."""

import inspect
from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from baselines.contract import Classifier


class Ensemble:
    """Mean of M(x_i), where x_i are copies of the picture x and M is another method; mirrored maps are carried back.

    inner: the method, as its YAML states it (name, blind, build).
    n: noisy copies; 0: the picture itself, without noise.
    sigma: deviation of the noise, as a share of the picture's range of values; it is drawn from torch's generator.
    flip: each copy is also seen mirrored left to right.
    With noise and a gradient inside it is SmoothGrad (Smilkov et al., 2017, eq. 1). A method that has signed values
    before its channels join (`raw` and `finish`) is averaged there, where noise cancels out.

    >>> from baselines.cam import CAM
    >>> method = Ensemble(classifier, {"build": partial(CAM, formula="LayerCAM")}, flip=True)
    >>> maps = method(image, torch.tensor([0, 2]))
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, inner: Mapping, n: int = 0, sigma: float = 0.15, flip: bool = False):
        if not isinstance(inner, Mapping) or "build" not in inner:
            raise ValueError(f"inner={inner!r} is no method")
        if inner.get("blind"):
            raise ValueError(f"{inner.get('name', 'the method')} does not look at the picture: copies change nothing")
        if n < 0 or sigma < 0 or (n and not sigma):
            raise ValueError("an ensemble needs n >= 0, and noise (sigma > 0) where n > 0")
        if not n and not flip:
            raise ValueError("an ensemble of one picture: set n (noisy copies), flip=true, or both")
        build = inner["build"]
        self.inner = (
            build(classifier=classifier) if inspect.isclass(build.func) else partial(build, classifier=classifier)
        )
        self.n = n
        self.sigma = sigma
        self.flip = flip

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w) on the inner method's grid."""
        method = getattr(self.inner, "raw", self.inner)
        total, count = None, 0
        for _ in range(max(self.n, 1)):
            copy = self.noisy(image) if self.n else image
            for mirrored in (False, True)[: 1 + self.flip]:
                answer = method(copy.flip(-1) if mirrored else copy, targets)
                answer = answer.flip(-1) if mirrored else answer
                total = answer if total is None else total + answer
                count += 1
        assert total is not None
        return getattr(self.inner, "finish", lambda maps: maps)(total / count)

    def noisy(self, image: Tensor) -> Tensor:
        """image (3,H,W) with Gaussian noise; it may leave [0,1]."""
        deviation = self.sigma * (image.max() - image.min())
        return image + deviation * torch.randn(image.shape).to(image)
