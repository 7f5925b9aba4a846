"""Maps made of a layer's activations alone, without a gradient."""

from typing import Any

import numpy as np
import torch
from sklearn.decomposition import KernelPCA
from torch import Tensor

from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.refusals import one_of


class ActivationCAM(Layered):
    """One forward pass; a subclass says how activations become a map (`map`), or a map for each class (`maps`).

    The settings: see `baselines.layered.Layered`.
    """

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        with torch.no_grad():
            return self.fused([self.maps(each, targets) for each in self.activations(image)[2]])

    def maps(self, activations: Tensor, targets: Tensor) -> Tensor:
        """activations (1,C,h,w), targets (K,) -> (K,h,w): the same map for every class."""
        return self.map(activations).expand(len(targets), -1, -1).clone()

    def map(self, activations: Tensor) -> Tensor:
        """activations (1,C,h,w) -> (1,h,w)."""
        raise NotImplementedError


class FEM(ActivationCAM):
    """Fuad et al., Features Understanding in 3D CNNs (Feature Explanation Method), IPTA 2020.

    map = sum_c mean(A_c) [A_c >= mean(A_c) + k std(A_c)]: the channels' rare strong responses, each channel weighted by
    its mean activation. All classes get the same map.

    Args:
        k: deviations above a channel's mean from which a response is rare.
        weights: "mean", as published, or "library", pytorch-grad-cam's: sum_c share_c A_c, where share_c is how much of
            the channel's grid lies above its threshold.
        **settings: those of `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, k: float = 2.0, weights: str = "mean", **settings: Any):
        super().__init__(classifier, **settings)
        self.k = k
        self.weights = one_of(("mean", "library"), "weights", weights)

    def map(self, activations: Tensor) -> Tensor:
        """activations (1,C,h,w) -> (1,h,w)."""
        mean = activations.mean((2, 3), keepdim=True)
        threshold = mean + self.k * activations.std((2, 3), correction=0, keepdim=True)
        if self.weights == "library":
            return ((activations > threshold).to(mean).mean((2, 3), keepdim=True) * activations).sum(1)
        return (mean * (activations >= threshold)).sum(1)


class KPCACAM(ActivationCAM):
    """Karmani et al., KPCA-CAM, MMSP 2024: the first component of a kernel principal component analysis of a layer.

    Positions are the samples, their (centred) channels the features; the map is each position's first component, by
    scikit-learn. All classes get the same map.
    The component's sign is arbitrary; here it is that of its covariance with the summed activations, as in EigenCAM.
    pytorch-grad-cam leaves it to the solver, whose start it draws at random on more than 200 positions.

    Args:
        kernel: as in scikit-learn's KernelPCA.
        gamma: as there; None: 1 / channels.
        **settings: those of `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings
    libraries = ("scikit-learn",)  # whose versions decide its maps

    def __init__(self, classifier: Classifier, kernel: str = "sigmoid", gamma: float | None = None, **settings: Any):
        super().__init__(classifier, **settings)
        self.kernel = kernel
        self.gamma = gamma

    def map(self, activations: Tensor) -> Tensor:
        """activations (1,C,h,w) -> (1,h,w)."""
        positions = activations[0].flatten(1).T.double().cpu().numpy()
        centred = positions - positions.mean(0)
        if not centred.any():
            return torch.zeros_like(activations[:, 0])
        solved = KernelPCA(n_components=1, kernel=self.kernel, gamma=self.gamma, eigen_solver="dense")
        component = solved.fit_transform(centred)[:, 0]
        component = -component if component @ centred.sum(1) < 0 else component
        return torch.from_numpy(component).to(activations).view_as(activations[:, 0])


class RandomCAM(ActivationCAM):
    """Activations with weights drawn uniformly from [-1, 1]: what a layer's shapes give without the class.

    pytorch-grad-cam's own control, there is no paper; it draws from numpy's global generator, this from torch's. A
    class's weights depend on the seed and on the class alone.
    """

    version = 1  # raised when its maps change for equal settings

    def maps(self, activations: Tensor, targets: Tensor) -> Tensor:
        """activations (1,C,h,w), targets (K,) -> (K,h,w)."""
        seed = int(torch.randint(2**63 - 1, ()))
        channels = activations.shape[1]
        drawn = [np.random.default_rng([seed, int(target)]).uniform(-1, 1, channels) for target in targets]
        return torch.einsum("kc,chw->khw", torch.from_numpy(np.array(drawn)).to(activations), activations[0])
