"""Ridge regression of heat maps on standardised activations, by normal equations accumulated chunk by chunk."""

from dataclasses import dataclass

import torch
from torch import Tensor

BLOCKS = 4
"""Of a Gram matrix's rows: each is multiplied up to its diagonal alone, which is 5/8 of the work."""


@dataclass(frozen=True)
class Ridge:
    """Fitted weights. mean, scale (C,) standardise a channel; coefficients (K,C) belong to standardised channels.

    dtype: of the sums that it comes from and of its predictions. least: of the standardised channels' variances, the
    smallest share that the channels before it leave unexplained (from Cholesky's pivots).
    """

    mean: Tensor
    scale: Tensor
    coefficients: Tensor
    intercept: Tensor
    dtype: torch.dtype
    least: float

    def predict(self, activations: Tensor) -> Tensor:
        """(B,C,h,w) -> (K,B,h,w) float64, the prediction *without* the intercept (K,)."""
        shape = activations.shape
        weights, centre = self.coefficients / self.scale, self.mean.to(self.dtype)
        centred = activations.to(self.dtype).flatten(2) - centre[:, None]
        predicted = torch.matmul(weights.to(self.dtype), centred).double()
        predicted -= (weights @ (self.mean - centre.double()))[:, None]
        return predicted.transpose(0, 1).reshape(-1, shape[0], *shape[2:])


class NormalEquations:
    """Sums over samples from which ridge regressions of K targets on C standardised features are solved.

    A sample is one position of one activation map. Memory is C x C float64, whatever the number of samples, and the
    C x C part serves all K targets. Standardisation is never applied to samples: with mean m and deviation s of a
    channel, the standardised Gram matrix is (X'X - n m m') / (s s'). The sums run over activations less the first
    chunk's mean, so that a large offset of a channel costs no digits.
    dtype: of the products of one chunk, whose sums over chunks are float64.
    """

    def __init__(self, dtype: torch.dtype = torch.float64) -> None:
        self.dtype = dtype
        self.count = 0
        self.offset: Tensor | None = None

    def add(self, activations: Tensor, targets: Tensor) -> None:
        """Count samples in: activations (B,C,h,w), targets (K,B,h,w)."""
        x = activations.to(self.dtype).transpose(0, 1).flatten(1)
        y = targets.double().flatten(1)
        if self.offset is None:
            self.offset, self.shift = x.mean(1), y.mean(1)
            self.x, self.y = x.new_zeros(len(x), dtype=torch.float64), torch.zeros_like(self.shift)
            self.xx = x.new_zeros(len(x), len(x), dtype=torch.float64)
            self.xy = x.new_zeros(len(x), len(y), dtype=torch.float64)
        x = x - self.offset[:, None]
        y = y - self.shift[:, None]
        self.count += x.shape[1]
        self.x += x.sum(1).double()
        self.y += y.sum(1)
        start = 0
        for rows in x.chunk(BLOCKS):
            end = start + len(rows)
            # Above the diagonal blocks the sums stay 0: Cholesky's decomposition reads the lower half alone.
            self.xx[start:end, :end] += rows @ x[:end].T
            start = end
        self.xy += x @ y.to(self.dtype).T

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
        mean = self.offset.double() + x_mean
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
        pivots = factor.diagonal().square()[~dead] - alpha
        least = float(pivots.min()) / self.count if len(pivots) else 1.0
        return Ridge(mean, scale, coefficients, self.shift + y_mean, self.dtype, least)
