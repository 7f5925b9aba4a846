"""The order of a picture's pixels by a map, on the network's input."""

import numpy as np
import torch
from torch import Tensor

from eval.game.pointing import Heat, upscale
from eval.measures.measure import Case


def on_input(case: Case) -> Heat:
    """The case's map on the grid of the network's input (bilinear, align_corners=False)."""
    height, width = case.image.shape[-2:]
    return upscale(case.grid, (width, height))


def ranks(case: Case) -> Tensor | None:
    """(h,w) int64, the place of each input pixel in the order of importance, 0 = most important; None for a constant
    map, which has no order, and for a method without maps.

    Of equally important pixels the first in row-major order comes first.
    """
    if case.grid is None or (heat := on_input(case)).constant:
        return None
    order = np.argsort(-heat.levels, axis=None, kind="stable")
    places = np.empty(order.size, np.int64)
    places[order] = np.arange(order.size)
    return torch.from_numpy(places.reshape(heat.levels.shape)).to(case.image.device)


def cuts(share: float, pixels: int) -> int:
    """How many of `pixels` pixels a share of them is."""
    return round(share * pixels)
