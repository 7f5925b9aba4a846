"""Methods made for vision transformers: which patches the answer's tokens attended to, directly or by gradient."""

import torch
from torch import Tensor

from baselines.attention import Transformer
from baselines.contract import Classifier


class AttentionRollout:
    """Abnar and Zuidema, Quantifying Attention Flow in Transformers, ACL 2020, eq. 1: the product over layers of
    A/2 + I/2, A the mean over heads; the map is the row of the token that the head reads.

    Where the head reads several tokens (an average of patches), the mean of their rows. All classes get the same map.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.transformer = Transformer(classifier, "attention rollout")

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w) on the patches' grid."""
        with self.transformer.attending() as seen:
            self.classifier.network(self.classifier.normalise(image.detach()))
        rollout = _identity(seen.layers[0].weights)
        for layer in seen.layers:
            rollout = (layer.weights.mean(0) + _identity(layer.weights)) / 2 @ rollout
        return self.transformer.maps(self.transformer.read(rollout)[None]).expand(len(targets), -1, -1).clone()


class GradientRollout:
    """Chefer, Gur and Wolf, Generic Attention-model Explainability, ICCV 2021, eq. 5 and 6 for self-attention:
    R = I, then per layer R + E_heads[(dA * A)+] R, dA the gradient of the class's score; the map is the row of the
    token that the head reads (of several: the mean of their rows).
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier) -> None:
        self.classifier = classifier
        self.transformer = Transformer(classifier, "gradient-weighted rollout")

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w) on the patches' grid."""
        rows = []
        with self.transformer.attending() as seen:
            output = self.classifier.network(self.classifier.normalise(image.detach()))
            outputs = [layer.output for layer in seen.layers]
            for target in targets.tolist():
                score = self.classifier.score(output, target).sum()
                gradients = torch.autograd.grad(score, outputs, retain_graph=True)
                relevance = _identity(seen.layers[0].weights)
                for layer, gradient in zip(seen.layers, gradients, strict=True):
                    weighted = (layer.gradient(gradient) * layer.weights).clamp(min=0).mean(0)
                    relevance = relevance + weighted @ relevance
                rows.append(self.transformer.read(relevance))
        return self.transformer.maps(torch.stack(rows)).detach()


class LeGrad:
    """Bousselham et al., LeGrad, ICCV 2025: per layer l the positive gradient of s_l with respect to the attention
    weights, averaged over heads and over the tokens that attend, then over layers; s_l is what the network's own head
    makes of block l's output. The paper scales the map to [0,1], which is left to the drawing.

    Args:
        last: only the last layers, so many; None: all of them. The head runs once for all layers, in one batch.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, last: int | None = None):
        if last is not None and last < 1:
            raise ValueError(f"last must be at least 1, not {last}")
        self.classifier, self.last = classifier, last
        self.transformer = Transformer(classifier, "LeGrad")

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w) on the patches' grid."""
        rows = []
        with self.transformer.attending(apart=True) as seen:
            output = self.classifier.network(self.classifier.normalise(image.detach()))
            first = 0 if self.last is None else max(0, len(seen.layers) - self.last)
            layers = seen.layers[first:]
            for target in targets.tolist():
                score = self.classifier.score(output[first:], target).sum()
                gradients = torch.autograd.grad(score, [layer.output for layer in layers], retain_graph=True)
                pairs = zip(layers, gradients, strict=True)
                positive = [layer.gradient(gradient).clamp(min=0).mean((0, 1)) for layer, gradient in pairs]
                rows.append(torch.stack(positive).mean(0))
        return self.transformer.maps(torch.stack(rows)).detach()


def _identity(weights: Tensor) -> Tensor:
    return torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
