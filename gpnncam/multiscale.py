"""GPNN-CAM's two phases on one picture at several sizes, instead of on variations of it (not in the paper).

A copy of the picture at each size, and mirrored if so set, stands where a variation stands in `gpnncam.cam`:

Phase 1 at the deepest layer l1: A_v are the activations of copy v, w_v the gradients of the score, summed over
positions; its map is ReLU(sum_k w_vk A_vk), GradCAM's formula, divided by the maximum over all copies.
Phase 2 at each shallower layer: the copies' maps so far are fused, and the standardised activations of all copies are
regressed on them together (ridge), as in GPNN-CAM.
The answer: the copies' fused maps, mirrored ones turned back, resized to the finest grid and averaged.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from gpnncam.contracts import Classifier
from gpnncam.features import REPEATED, features, full, layers_of
from gpnncam.regression import NormalEquations
from gpnncam.solve import FUSIONS, ROUNDING, fuse

SCORES = ("logit", "probability")


class Copy(NamedTuple):
    """layers: activations (1,C,h,w), deep to shallow. weights (K,C): the scores' gradients at the first layer."""

    layers: list[Tensor]
    weights: Tensor
    mirrored: bool


class MultiscaleCAM:
    """GPNN-CAM's two phases at several sizes, as a callable: maps = MultiscaleCAM(classifier)(image, targets).

    It costs a forward pass a copy, each as the square of its side, and a gradient of the head for each class. It draws
    no random number: equal pictures have equal maps.

    Args:
        classifier: see `gpnncam.contracts.Classifier`; its network takes pictures of any size, which the constructor
            tries out.
        sides: shorter sides of the copies in pixels, the longer one in proportion. It enlarges a smaller picture,
            which adds no detail: give one whose shorter side is the largest of them.
        mirrored: the sides that are also read mirrored left to right.
        layers: as in `gpnncam.GPNNCAM`; so are depth, alpha, fusion and repeated.
        depth: as there.
        alpha: as there.
        fusion: as there.
        score: "probability", the logarithm of the class's share in the softmax over all outputs, whose gradient also
            holds what speaks for other classes; or "logit", the class's own.
        repeated: as there.

    Raises:
        ValueError: settings contradict each other, or the network takes no pictures of these sides.

    >>> import torch
    >>> from torchvision.models import resnet18
    >>> from gpnncam import MultiscaleCAM, wrap
    >>> cam = MultiscaleCAM(wrap(resnet18(), side=64), sides=[64, 96])
    >>> tuple(cam(torch.rand(3, 96, 96), torch.tensor([1, 5])).shape)
    (2, 12, 12)
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(
        self,
        classifier: Classifier,
        sides: Sequence[int] = (320, 448, 640),
        mirrored: Sequence[int] = (),
        layers: Sequence[str] | None = None,
        depth: int | None = None,
        alpha: float = 1e-4,
        fusion: str = "sigmoid_product",
        score: str = "probability",
        repeated: str = "refuse",
    ):
        if not sides or min(sides) < 1 or len(set(sides)) < len(sides):
            raise ValueError(f"sides are {list(sides)}: one or more different numbers of pixels")
        if not set(mirrored) <= set(sides):
            raise ValueError(f"mirrored is {list(mirrored)}; it names some of the sides {list(sides)}")
        chosen = (("fusion", fusion, FUSIONS), ("score", score, SCORES), ("repeated", repeated, REPEATED))
        for name, value, known in chosen:
            if value not in known:
                raise ValueError(f"{name} is {value!r}; known are {', '.join(known)}")
        if not alpha > 0:
            raise ValueError(f"the ridge penalty alpha is {alpha}; it must be positive")
        self.classifier, self.alpha, self.fusion, self.repeated = classifier, alpha, fusion, repeated
        self.score = score
        self.modules, self.readers = layers_of(classifier, layers, depth)
        self.copies = [(side, turn) for side in sides for turn in (False, True)[: 1 + (side in mirrored)]]
        for side in sorted(set(sides))[:2]:  # a network of one size may take the smallest
            self._try(side)

    @property
    def side(self) -> int:
        """Shorter side of the picture that it makes the most of."""
        return max(side for side, _ in self.copies)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """(3,H,W) RGB in [0,1], (K,) int -> (K,h,w) float32 on the finest grid of the last layer, as `GPNNCAM`'s."""
        # Gradients are needed, whatever mode the caller is in; tensors made in inference mode cannot carry any.
        with torch.inference_mode(False):
            image = image.clone() if image.is_inference() else image
            classes = torch.as_tensor(targets).tolist()
            copies = [self._copy(image, side, mirrored, classes) for side, mirrored in self.copies]
            with torch.no_grad():
                return self._answer(copies).float()

    def explain(self, picture: Any, targets: Any = None, top: int = 1, seed: int = 0) -> Any:
        """Heat maps to look at, of a picture as people have it: see `gpnncam.explanation.explain`. The classifier is
        one that `gpnncam.wrap` made."""
        from gpnncam.classifier import Wrapped
        from gpnncam.explanation import explain

        return explain(self, cast(Wrapped, self.classifier), picture, targets, top, seed)

    def _copy(self, image: Tensor, side: int, mirrored: bool, targets: list[int]) -> Copy:
        height, width = image.shape[1:]
        size = [max(1, round(length * side / min(height, width))) for length in (height, width)]
        pixels = image[None]
        if size != [height, width]:
            pixels = functional.interpolate(pixels, size, mode="bilinear", align_corners=False, antialias=True)
        pixels = pixels.flip(-1) if mirrored else pixels
        read = self.readers.get(next(iter(self.modules)), lambda output: output)
        with features(self.modules, self.readers, self.repeated) as seen:
            output = self.classifier.network(self.classifier.normalise(pixels))
            seen.check()
            leaf = seen.leaf
            assert leaf is not None, "the first layer ran"
            # A share of nearly 1 leaves a gradient that single precision rounds away.
            if self.score == "probability" and output.shape[1] == 1:
                raise ValueError("a softmax over one output is 1 whatever the picture: score=logit")
            output = output.double().log_softmax(1) if self.score == "probability" else output
            weights = []
            for k, target in enumerate(targets):
                score = self.classifier.score(output, target).sum()
                (gradient,) = torch.autograd.grad(score, leaf, retain_graph=k + 1 < len(targets))
                weights.append(full(read(gradient))[0].flatten(1).sum(1))
            none = seen.layers[next(iter(self.modules))].new_zeros(0, read(leaf).shape[1])
            return Copy(
                [seen.layers[name] for name in self.modules], torch.stack(weights) if weights else none, mirrored
            )

    def _try(self, side: int) -> None:
        """ValueError where the network takes no pictures of that size: many transformers take those of one."""
        network = self.classifier.network
        first = next(network.parameters(), None) if isinstance(network, nn.Module) else None
        pixels = torch.zeros(1, 3, side, side, device=None if first is None else first.device)
        try:
            with torch.no_grad():
                network(self.classifier.normalise(pixels))
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            if "out of memory" in str(error):
                raise
            raise ValueError(f"the network takes no picture of {side} x {side} pixels: {error}") from error

    def _answer(self, copies: list[Copy]) -> Tensor:
        """(K,h,w) float64: both phases, and the mean over the copies."""
        raw = [torch.einsum("kc,nchw->knhw", each.weights, each.layers[0]).double() for each in copies]
        maps = [[one] for one in _together(raw)]  # by copy, then by layer
        for depth in range(1, len(self.modules)):
            layers = [each.layers[depth] for each in copies]
            wanted = [fuse(heat, layer.shape[2:], self.fusion) for heat, layer in zip(maps, layers, strict=True)]
            sums = NormalEquations()
            for layer, target in zip(layers, wanted, strict=True):
                sums.add(layer, target)
            ridge = sums.solve(self.alpha)
            predicted = [ridge.predict(layer) for layer in layers]
            for heat, one in zip(maps, _together([torch.where(p > ROUNDING, p, 0) for p in predicted]), strict=True):
                heat.append(one)
        fused = [fuse(heat, heat[-1].shape[2:], self.fusion)[:, 0] for heat in maps]
        fused = [each.flip(-1) if copy.mirrored else each for each, copy in zip(fused, copies, strict=True)]
        size = max((each.shape[1:] for each in fused), key=lambda size: size[0] * size[1])
        resized = [functional.interpolate(each[:, None], size, mode="bilinear", align_corners=False) for each in fused]
        return torch.stack(resized).mean(0)[:, 0]


def _together(raw: list[Tensor]) -> list[Tensor]:
    """ReLU of each copy's (K,1,h,w), each class divided by its maximum over all; a class without any stays 0."""
    positive = [each.clamp(min=0) for each in raw]
    highest = torch.stack([each.amax((1, 2, 3), keepdim=True) for each in positive]).amax(0)
    return [each / torch.where(highest > 0, highest, 1) for each in positive]
