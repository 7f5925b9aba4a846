"""Cases of measures on a classifier small enough to compute by hand."""

import numpy as np
import torch

from eval.game.region import Region
from eval.measures.map_measures import cases_of
from eval.measures.measure import Case
from tests.small_network import classifier

SIDE = 32


def picture(seed=3, height=SIDE, width=SIDE):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed))


def heat(seed=0, side=7):
    return np.random.default_rng(seed).normal(size=(side, side))


def cases(maps, image=None, net=None, targets=None, seed=5, method=None, box=(4, 6, 20, 18)) -> list[Case]:
    """Cases of one picture, one a map; the region is a box of it."""
    image = picture() if image is None else image
    net = classifier() if net is None else net
    height, width = image.shape[-2:]
    size = (width, height)
    region = Region.from_boxes(np.array([box]), size)
    maps = [np.asarray(each, float) for each in maps]
    made = [case for each in maps for case in cases_of(each[None], size, [region])]
    targets = range(len(maps)) if targets is None else targets
    return [
        Case(one.region, one.size, one.point, one.heat, one.grid, image, target, net, method, seed)
        for one, target in zip(made, targets, strict=True)
    ]
