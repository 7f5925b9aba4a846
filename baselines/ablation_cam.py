"""AblationCAM: a channel weighs what the class's score loses without it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from baselines.contract import Classifier
from baselines.layered import Layered
from baselines.refusals import at_least_one
from baselines.replay import finished_before, replayed


class AblationCAM(Layered):
    """Desai and Ramaswamy, Ablation-CAM, WACV 2020, eq. 3: w_k = (y - y_k) / y, y_k the score with channel k zeroed.

    What is computed before the ablated layer is computed once a picture, and all classes share the passes.
    pytorch-grad-cam's is the same where the layer's lowest value is exactly 0, or a ReLU comes next. Elsewhere the k-th
    copy of a batch gets the lowest value minus k times 1e7, so its map depends on the size of its batches.

    Args:
        relative: the division by y. It turns the map of a class with a negative score upside down, as published.
        batch: ablations per pass.
        **settings: those of `baselines.layered.Layered`.
    """

    version = 1  # raised when its maps change for equal settings
    speed = ("batch",)  # settings that change no map but for rounding

    def __init__(self, classifier: Classifier, relative: bool = True, batch: int = 64, **settings: Any):
        super().__init__(classifier, **settings)
        self.relative = relative
        self.batch = at_least_one(batch)

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> raw maps (K,h,w) on the grid of the (finest) layer."""
        with torch.no_grad():
            pixels, output, layers = self.activations(image)
            whole = torch.cat([self.classifier.score(output, target) for target in targets.tolist()])
            maps = []
            for name, (channels,) in zip(self.layers, layers, strict=True):
                weights = whole[:, None] - self.ablated(pixels, name, len(channels), targets)
                if self.relative:
                    weights = weights / torch.where(whole != 0, whole, torch.ones_like(whole))[:, None]
                maps.append(torch.einsum("kc,chw->khw", weights, channels))
            return self.fused(maps)

    def ablated(self, pixels: Tensor, name: str, count: int, targets: Tensor) -> Tensor:
        """Scores (K,C) of the classes with each of the layer's channels zeroed in turn."""
        columns = []
        layer = self.classifier.module(name)
        seen = self.classifier.images_seen
        known = finished_before(self.classifier.network, layer, lambda: self.classifier.network(pixels))
        self.classifier.images_seen = seen  # the pass counts among those of the ablations
        ablations = _Ablations(self.classifier.reader(name))
        for chosen in torch.arange(count).split(self.batch):
            output = self._without(pixels, name, chosen, known, ablations)
            columns.append(torch.stack([self.classifier.score(output, target) for target in targets.tolist()]))
        return torch.cat(columns, 1)

    def _without(
        self, pixels: Tensor, name: str, chosen: Tensor, known: dict[nn.Module, Tensor], ablations: "_Ablations"
    ) -> Tensor:
        """The network's output, a row for each of the chosen channels of the layer zeroed."""
        count = len(chosen)

        def ablate(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            return ablations.of(output, chosen)

        handle = self.classifier.module(name).register_forward_hook(ablate)
        try:
            with replayed(known):
                output = self.classifier.network(pixels)
            # Counted as whole pictures although the layers below ran once: no method looks cheaper than it may be.
            self.classifier.images_seen += count - len(pixels)
        except RuntimeError as error:
            # In a shortcut's layer the block's other branch, still one picture, cannot take up a sum of many in place.
            if "broadcast" not in str(error):
                raise
            output = self.classifier.network(pixels.expand(count, -1, -1, -1))
        finally:
            handle.remove()
        return output


class _Ablations:
    """A layer's output once for each channel that is zeroed. The copies of one pass become those of the next."""

    def __init__(self, maps: Callable[[Tensor], Tensor]):
        self.maps = maps
        self.batch: Tensor | None = None
        self.version, self.zeroed = 0, torch.empty(0, dtype=torch.long)

    def of(self, output: Tensor, chosen: Tensor) -> Tensor:
        """output (1 or n,...), n numbers of channels -> (n,...); a view of it as maps is zeroed: tokens before the
        patches stay."""
        rows = torch.arange(len(chosen))
        kept = self.batch
        # A network that went on in place has overwritten the copies; inference mode does not tell.
        fresh = kept is None or kept.is_inference() or kept._version != self.version
        if kept is None or fresh or len(output) > 1 or len(kept) != len(chosen):
            kept = output.repeat(len(chosen) // len(output), *[1] * (output.dim() - 1))
        else:
            self.maps(kept)[rows, self.zeroed] = self.maps(output)[0, self.zeroed]
        self.maps(kept)[rows, chosen] = 0
        self.batch, self.zeroed = kept, chosen
        self.version = 0 if kept.is_inference() else kept._version
        return kept
