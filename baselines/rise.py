"""RISE: the mean of random masks, weighed by the class's probability in the picture they leave."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from baselines.probability import KINDS, probability


class RISE:
    """Petsiuk et al., RISE, BMVC 2018, eq. 6: S = sum_i p(picture * M_i) M_i / (N E[M]).

    masks: N; the authors used 4000 for VGG16 and 8000 for ResNet50.
    cells: the masks are random binary grids of cells x cells, enlarged bilinearly and shifted by a random part of a
        cell; keep: the probability that a cell is kept.
    probability: "softmax" over classes, or "sigmoid" for a multi-label network.
    batch: masked pictures per forward pass. All classes share the passes, and the batch changes no mask.
    """

    def __init__(
        self,
        classifier,
        masks: int = 4000,
        cells: int = 7,
        keep: float = 0.5,
        probability: str = "softmax",
        batch: int = 32,
    ):
        if min(masks, cells, batch) < 1 or not 0 < keep <= 1:
            raise ValueError("RISE needs masks, cells and batch of at least 1, and 0 < keep <= 1")
        if probability not in KINDS:
            raise ValueError(f"probability {probability!r} is none of {', '.join(KINDS)}")
        self.classifier = classifier
        self.masks = masks
        self.cells = cells
        self.keep = keep
        self.probability = probability
        self.batch = batch

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W). Masks follow torch's global CPU generator."""
        height, width = image.shape[-2:]
        grids = (torch.rand(self.masks, 1, self.cells, self.cells) < self.keep).to(image)
        cell = math.ceil(height / self.cells), math.ceil(width / self.cells)
        rows = torch.randint(cell[0], (self.masks,)).tolist()
        columns = torch.randint(cell[1], (self.masks,)).tolist()
        enlarged = (self.cells + 1) * cell[0], (self.cells + 1) * cell[1]
        total = image.new_zeros(len(targets), height, width)
        with torch.no_grad():
            pixels = self.classifier.normalise(image)
            for chosen in torch.arange(self.masks).split(self.batch):
                large = functional.interpolate(grids[chosen], enlarged, mode="bilinear", align_corners=False)
                masks = torch.stack(
                    [
                        mask[0, rows[i] : rows[i] + height, columns[i] : columns[i] + width]
                        for mask, i in zip(large, chosen.tolist(), strict=True)
                    ]
                )
                output = self.classifier.network(pixels * masks[:, None])
                for position, target in enumerate(targets.tolist()):
                    weights = probability(self.classifier, output, target, self.probability)
                    total[position] += torch.einsum("n,nhw->hw", weights, masks)
        return total / (self.masks * self.keep)
