"""Two methods that see nothing: what a heat map has to beat."""

from typing import Any

import numpy as np
import torch
from torch import Tensor


class Center:
    """The middle of the picture, (W/2, H/2) in original pixels, unrounded: TorchRay's `center`.

    Blind: called with the sample in place of pixels, returns points instead of maps.
    """

    version = 1  # raised when its maps change for equal settings

    def __call__(self, sample: Any, targets: Tensor) -> Tensor:
        """targets (K,) -> (K,2) points x, y in original pixels, origin top left."""
        width, height = sample.size
        return torch.tensor([[width / 2, height / 2]] * len(targets), dtype=torch.float64).reshape(-1, 2)


class Random:
    """A point drawn uniformly from the picture, anew for each class.

    The point depends on torch's global CPU seed (the runner sets it per picture) and on the class alone, so asking for
    fewer classes, or in another order, moves no point.
    """

    version = 1  # raised when its maps change for equal settings

    def __call__(self, sample: Any, targets: Tensor) -> Tensor:
        """targets (K,) -> (K,2) points x, y in original pixels: 0 <= x < W, 0 <= y < H."""
        seed = int(torch.randint(2**63 - 1, ()))
        drawn = [np.random.default_rng([seed, int(target)]).random(2) for target in targets]
        return torch.from_numpy(np.array(drawn).reshape(-1, 2) * np.array(sample.size))
