"""Ridge regression of heat maps on standardised activations, by normal equations accumulated chunk by chunk."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Ridge:
    """Fitted weights. mean, scale (C,) standardise a channel; coefficients (K,C) belong to standardised channels."""

    mean: Tensor
    scale: Tensor
    coefficients: Tensor
    intercept: Tensor

    def predict(self, activations: Tensor) -> Tensor:
        """(B,C,h,w) -> (K,B,h,w) float64, the prediction *without* the intercept (K,)."""
        shape = activations.shape
        centred = activations.double().flatten(2) - self.mean[:, None]
        predicted = torch.matmul(self.coefficients / self.scale, centred)
        return predicted.transpose(0, 1).reshape(-1, shape[0], *shape[2:])


class NormalEquations:
    """Sums over samples from which ridge regressions of K targets on C standardised features are solved.

    A sample is one position of one activation map. Memory is C x C float64, whatever the number of samples, and the
    C x C part serves all K targets. Standardisation is never applied to samples: with mean m and deviation s of a
    channel, the standardised Gram matrix is (X'X - n m m') / (s s'). The sums run over activations less the first
    chunk's mean, so that a large offset of a channel costs no digits.
    """

    def __init__(self) -> None:
        self.count = 0
        self.offset: Tensor | None = None

    def add(self, activations: Tensor, targets: Tensor) -> None:
        """Count samples in: activations (B,C,h,w), targets (K,B,h,w)."""
        x = activations.double().transpose(0, 1).flatten(1)
        y = targets.double().flatten(1)
        if self.offset is None:
            self.offset, self.shift = x.mean(1), y.mean(1)
            self.x, self.y = torch.zeros_like(self.offset), torch.zeros_like(self.shift)
            self.xx, self.xy = x.new_zeros(len(x), len(x)), x.new_zeros(len(x), len(y))
        x = x - self.offset[:, None]
        y = y - self.shift[:, None]
        self.count += x.shape[1]
        self.x += x.sum(1)
        self.y += y.sum(1)
        self.xx.addmm_(x, x.T)
        self.xy.addmm_(x, y.T)

    def solve(self, alpha: float) -> Ridge:
        """Minimise sum_i (y_i - b - w'z_i)^2 + alpha |w|^2 over w and b; z are the standardised activations.

        A channel whose deviation is below float32's resolution of its mean carries nothing: its weight is 0.
        Consumes the sums: the Gram matrix is standardised in place.
        """
        x_mean, y_mean = self.x / self.count, self.y / self.count
        # X'X - n m m', in the shifted coordinates.
        gram = self.xx.addr_(x_mean, x_mean, alpha=-self.count)
        moment = self.xy.addr_(x_mean, y_mean, alpha=-self.count)
        assert self.offset is not None, "no samples"
        mean = self.offset + x_mean
        deviation = (gram.diagonal().clamp(min=0) / self.count).sqrt()
        dead = deviation <= torch.finfo(torch.float32).eps * mean.abs()
        scale = torch.where(dead, 1.0, deviation)
        inverse = torch.where(dead, 0.0, 1 / scale)
        gram.mul_(inverse[:, None]).mul_(inverse)
        gram.diagonal().add_(alpha)
        factor, failed = torch.linalg.cholesky_ex(gram)
        if not bool(gram.isfinite().all()):
            raise ValueError("the activations to regress on are not finite")
        if failed:
            raise ValueError(f"the ridge regression is singular at alpha = {alpha:g}: choose a larger alpha")
        coefficients = torch.cholesky_solve(moment * inverse[:, None], factor).T
        return Ridge(mean, scale, coefficients, self.shift + y_mean)
