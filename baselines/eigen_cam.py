"""EigenCAM: the activations' first principal direction, whatever the class."""

from collections.abc import Sequence

import torch
from torch import Tensor

from baselines.cam import fuse
from baselines.taps import check_reached, layer_names, tapped


class EigenCAM:
    """Muhammad and Yeasin, Eigen-CAM, IJCNN 2020: with activations O (positions x channels) = U S V^T, map = O v_1.

    centre: subtract each channel's mean first (pytorch-grad-cam does, the paper does not).
    The sign of v_1 is arbitrary; here it points to where the activations are: the map's sum, or centred its covariance
    with the summed activations, is positive. pytorch-grad-cam leaves it to LAPACK. All classes get the same map.
    """

    def __init__(
        self,
        classifier,
        layers: Sequence[str] | str | None = None,
        centre: bool = False,
        relu: bool = False,
        fusion: str = "maximum",
    ):
        self.classifier = classifier
        self.layers = layer_names(classifier, layers, "cam")
        self.centre = centre
        self.relu = relu
        self.fusion = fusion

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        with torch.no_grad():
            with tapped(self.classifier, self.layers, gradients=False) as taps:
                self.classifier.network(self.classifier.normalise(image))
            check_reached(self.layers, taps)
            fused = fuse([self.map(taps[name]) for name in self.layers], self.fusion, None)
            return (fused.clamp(min=0) if self.relu else fused).expand(len(targets), -1, -1).clone()

    def map(self, activations: Tensor) -> Tensor:
        """activations (1,C,h,w) -> (1,h,w)."""
        positions = activations[0].flatten(1).T
        summed = positions.sum(1)
        if self.centre:
            positions = positions - positions.mean(0)
            summed = summed - summed.mean()
        left, strengths, _ = torch.linalg.svd(positions, full_matrices=False)
        projection = left[:, 0] * strengths[0]
        agreement = projection @ summed if self.centre else projection.sum()
        projection = -projection if agreement < 0 else projection
        return projection.view(activations.shape[-2:])[None]
