"""RISE: the mean of random masks, weighed by the class's probability in the picture they leave."""

import math

import torch
from torch import Tensor

from baselines.batches import Batched, Passes
from baselines.contract import Classifier
from baselines.probability import KINDS, probability
from baselines.refusals import one_of


def enlargement(cells: int, length: int) -> Tensor:
    """(length, cells) float64: bilinear weights of `cells` values in a row of `length` pixels.

    Pixel i lies at (i + 1/2) cells / length - 1/2; beyond the first and the last value the row is mirrored at them, so
    half a cell at the border repeats what is inside, as in the authors' masks.
    """
    place = ((torch.arange(length, dtype=torch.float64) + 0.5) * cells / length - 0.5).abs()
    place = (cells - 1) - ((cells - 1) - place).abs()
    place = place.clamp(0, cells - 1)  # a single value has no neighbour to be mirrored
    return (1 - (place[:, None] - torch.arange(cells, dtype=torch.float64)).abs()).clamp(min=0)


class RISE(Batched):
    """Petsiuk et al., RISE, BMVC 2018, eq. 6: S = sum_i p(picture * M_i) M_i / (N E[M]).

    Args:
        masks: N; the authors used 4000 for VGG16 and 8000 for ResNet50.
        cells: the masks are random binary grids of cells x cells, enlarged bilinearly (`enlargement`) to one cell more
            than the picture and shifted by a random part of a cell.
        keep: the probability that a cell is kept.
        probability: "softmax" over classes, or "sigmoid" for a multi-label network.
        batch: masked pictures per forward pass; None: by the largest activation (`baselines.batches`). All classes
            share the passes, and the batch changes no mask.
    """

    version = 2  # raised when its rows change for equal settings; 2: ranks and prices belong to the protocol's input
    speed = ("batch",)  # settings that change no map but for rounding

    def __init__(
        self,
        classifier: Classifier,
        masks: int = 4000,
        cells: int = 7,
        keep: float = 0.5,
        probability: str = "softmax",
        batch: int | None = None,
    ):
        if min(masks, cells) < 1 or not 0 < keep <= 1:
            raise ValueError("RISE needs masks and cells of at least 1, and 0 < keep <= 1")
        self.classifier = classifier
        self.masks = masks
        self.cells = cells
        self.keep = keep
        self.probability = one_of(KINDS, "probability", probability)
        self.passes = Passes(classifier, batch, most=32)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,H,W). Masks follow torch's global CPU generator."""
        height, width = image.shape[-2:]
        grids = (torch.rand(self.masks, self.cells, self.cells) < self.keep).to(image)
        cell = math.ceil(height / self.cells), math.ceil(width / self.cells)
        rows = torch.randint(cell[0], (self.masks,)).tolist()
        columns = torch.randint(cell[1], (self.masks,)).tolist()
        down, across = (enlargement(self.cells, (self.cells + 1) * side).to(image) for side in cell)
        total = image.new_zeros(len(targets), height, width)
        with torch.no_grad():
            pixels = self.classifier.normalise(image)
            for chosen in self.passes.parts(torch.arange(self.masks), pixels):
                masks = image.new_empty(len(chosen), height, width)
                for mask, i in zip(masks, chosen.tolist(), strict=True):
                    part = down[rows[i] : rows[i] + height] @ grids[i]
                    torch.mm(part, across[columns[i] : columns[i] + width].T, out=mask)
                output = self.passes(pixels * masks[:, None])
                for position, target in enumerate(targets.tolist()):
                    weights = probability(self.classifier, output, target, self.probability)
                    total[position] += torch.einsum("n,nhw->hw", weights, masks)
        return total / (self.masks * self.keep)
