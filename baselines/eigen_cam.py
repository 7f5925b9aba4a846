"""EigenCAM: the activations' first principal direction, whatever the class."""

from typing import Any

import torch
from torch import Tensor

from baselines.activation_cam import ActivationCAM
from baselines.contract import Classifier


class EigenCAM(ActivationCAM):
    """Muhammad and Yeasin, Eigen-CAM, IJCNN 2020: with activations O (positions x channels) = U S V^T, map = O v_1.

    The sign of v_1 is arbitrary; here it points to where the activations are: the map's sum, or centred its covariance
    with the summed activations, is positive. pytorch-grad-cam leaves it to LAPACK. All classes get the same map.

    Args:
        centre: subtract each channel's mean first (pytorch-grad-cam does, the paper does not).
        **settings: those of `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, centre: bool = False, **settings: Any):
        super().__init__(classifier, **settings)
        self.centre = centre

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
