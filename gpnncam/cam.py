"""GPNN-CAM: class activation maps from many realistic variations of one picture (Singh and Namboodiri).

Layers l1, l2, ... run from deep to shallow. Over the variations x_1..x_n of a group:

Phase 1 at l1: w_k = mean over variations and positions of the gradient of the target score; the map of a variation
is ReLU(sum_k w_k A_k) (GradCAM's formula with weights from all variations), divided by the maximum over the group.
Phase 2 at each shallower layer: the maps so far are fused into a target at that layer's resolution; the layer's
standardised activations are regressed on it (ridge); the map is ReLU of the prediction without the intercept, divided
by the maximum over the group.
The answer for the picture: the same weights on its own activations, the same divisors, fused at the last layer's
resolution, averaged over the groups.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional

from gpnncam import sources
from gpnncam.batch_size import Passes
from gpnncam.contracts import Classifier
from gpnncam.features import REPEATED, features, full, layers_of
from gpnncam.levels import VERSION
from gpnncam.solve import DIVISORS, FUSIONS, PHASE1, fuse, solve
from gpnncam.vote import carry_back_all

PLAIN = {"alpha": None, "alpha_side": None, "iterations": (1, 10, 3)}
"""How GPNN-CAM's variations are made by default: by plain distance, as in the authors' program."""
STEPS = ("generation", "forward", "head gradient", "regression")


class GPNNCAM:
    """GPNN-CAM as a callable: maps = GPNNCAM(classifier)(image, targets).

    It draws the seed of the variations from torch's global CPU generator, once a call. `seconds` holds the latest
    call's time by step (STEPS).

    Args:
        classifier: see `gpnncam.contracts.Classifier`; `gpnncam.wrap` makes one.
        n: how many variations.
        groups: how many groups (of equal size up to one) are solved independently and averaged.
        layers: module names deep to shallow; None: the classifier's `layers["gpnncam"]`.
        depth: only the first `depth` layers.
        phase1: "average_gradient", or "ridge": activations at l1 are regressed on each variation's own GradCAM map.
        alpha: ridge penalty.
        fusion: "sigmoid_product" (the authors'), "product" or "sum", see `gpnncam.solve.fuse`.
        include_self: the picture counts as one more variation of every group.
        divisor: the picture's own maps are divided by the maximum over the variations' ("variations"), or each by
            its own maximum ("own", as the authors' program does).
        source: "gpnn", "noise", "flip_crop", "none" (the picture alone; n, groups and include_self are moot), a
            dotted name `module.function` or a callable (`gpnncam.sources.Source`); a list of these shares n.
        sigma: strength of the generator's noise, on the scale of [0,1].
        noise: "grey" or "rgb".
        generator: further options of `gpnncam.variations`, which replace those of PLAIN.
        copy_sigma: deviation of source "noise".
        smallest_crop: share of the side for source "flip_crop".
        source_vote: answer (K,H,W) with the variations' fused maps, carried back to the picture through their fields
            and averaged with its own map, which votes once (not in the paper).
        repeated: "refuse" a layer that runs more than once in a forward pass, or read its "last" run.
        batch: pictures per forward pass, for speed and memory alone; None: by the largest activation.

    Raises:
        ValueError: settings contradict each other, or a layer does not exist.

    >>> import torch
    >>> from torchvision.models import resnet18
    >>> from gpnncam import GPNNCAM, wrap
    >>> cam = GPNNCAM(wrap(resnet18(), side=64), n=2)
    >>> tuple(cam(torch.rand(3, 64, 64), torch.tensor([1, 5])).shape)
    (2, 8, 8)
    """

    # The number is raised when its maps change for equal settings and equal variations.
    version = f"1, generator {VERSION}"
    speed = ("batch",)  # settings that change no map but for rounding

    def __init__(
        self,
        classifier: Classifier,
        n: int = 20,
        groups: int = 1,
        layers: Sequence[str] | None = None,
        depth: int | None = None,
        phase1: str = "average_gradient",
        alpha: float = 1e-4,
        fusion: str = "sigmoid_product",
        include_self: bool = False,
        divisor: str = "variations",
        source: str | Callable | Sequence[str | Callable] = "gpnn",
        sigma: float = 3.0,
        noise: str = "rgb",
        generator: dict | None = None,
        copy_sigma: float = 0.2,
        smallest_crop: float = 0.6,
        source_vote: bool = False,
        repeated: str = "refuse",
        batch: int | None = None,
    ):
        makers = {
            "gpnn": lambda: sources.gpnn(sigma=sigma, noise=noise, **(PLAIN | (generator or {}))),
            "noise": lambda: sources.noise(copy_sigma),
            "flip_crop": lambda: sources.flip_crop(smallest_crop),
            "none": sources.none,
        }
        for name, value, known in (
            ("phase1", phase1, PHASE1),
            ("fusion", fusion, FUSIONS),
            ("divisor", divisor, DIVISORS),
            ("repeated", repeated, REPEATED),
        ):
            if value not in known:
                raise ValueError(f"{name} is {value!r}; known are {', '.join(known)}")
        if not 1 <= groups <= n:
            raise ValueError(f"{n} variations cannot be split into {groups} groups")
        if not alpha > 0:
            raise ValueError(f"the ridge penalty alpha is {alpha}; it must be positive")
        self.classifier, self.passes = classifier, Passes(classifier.network, batch)
        self.modules, self.readers = layers_of(classifier, layers, depth)
        self.source = _resolve(source, makers)
        self.n, self.groups, self.include_self = n, groups, include_self
        self.alone = source == "none"
        if self.alone:
            self.n, self.groups, self.include_self = 1, 1, False
        if divisor == "own" and self.include_self:
            raise ValueError('divisor is "own", but with include_self the picture is one of the variations')
        self.how: dict[str, Any] = {"phase1": phase1, "alpha": alpha, "fusion": fusion, "divisor": divisor}
        self.source_vote, self.repeated = source_vote, repeated
        self.seconds: dict[str, float] = {}

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """The heat maps of one picture.

        Args:
            image: (3,H,W) RGB in [0,1].
            targets: (K,) numbers of classes.

        Returns:
            (K,h,w) float32 on the last layer's grid; larger = more important.
        """
        targets = torch.as_tensor(targets)
        # Gradients are needed, whatever mode the caller is in; tensors made in inference mode cannot carry any.
        with torch.inference_mode(False):
            return self._explain(image.clone() if image.is_inference() else image, targets)

    def explain(self, picture: Any, targets: Any = None, top: int = 1, seed: int = 0) -> Any:
        """Heat maps to look at, of a picture as people have it: see `gpnncam.explanation.explain`. The classifier is
        one that `gpnncam.wrap` made."""
        from gpnncam.classifier import Wrapped
        from gpnncam.explanation import explain

        return explain(self, cast(Wrapped, self.classifier), picture, targets, top, seed)

    def _explain(self, image: Tensor, targets: Tensor) -> Tensor:
        self.seconds = dict.fromkeys(STEPS, 0.0)
        seed = int(torch.randint(2**63 - 1, ()))
        with self._timed("generation", image.device):
            made = sources.checked(self.source(image, self.n, seed), image, self.n)
        pixels = image[None] if self.alone else torch.cat([image[None], made.pixels.to(image)])
        activations, gradients = self._observe(pixels, targets.tolist())
        if self.alone:  # its only variation is the picture, which need not pass twice
            activations, gradients = [each.repeat(2, 1, 1, 1) for each in activations], gradients.repeat(1, 2, 1)
        with self._timed("regression", image.device), torch.no_grad():
            answer = votes = counts = cast(Tensor, 0)  # tensors after the first group
            for group in torch.arange(self.n).tensor_split(self.groups):
                maps = self._group(activations, gradients, group)
                answer = answer + maps[:, 0] / self.groups
                if self.source_vote:
                    heat = functional.interpolate(maps[:, 1:], image.shape[1:], mode="bilinear", align_corners=False)
                    voted, counted = carry_back_all(heat, [self._field(made, i) for i in group])
                    votes, counts = votes + voted, counts + counted
            if self.source_vote:
                own = functional.interpolate(answer[None], image.shape[1:], mode="bilinear", align_corners=False)[0]
                answer = (votes + own) / (counts + 1)
            return answer.float()

    @staticmethod
    def _field(made: sources.Varied, i: int) -> Tensor:
        field = getattr(made, "fields", None)
        field = field if field is None else field[i]
        if field is None:
            raise ValueError("source_vote carries heat back through the fields of the variations; the source has none")
        return field

    def _group(self, activations: list[Tensor], gradients: Tensor, group: Tensor) -> Tensor:
        """Fused maps (K,1+len(group),h,w) of the picture (row 0) and of one group of its variations."""
        # One group holds everything: no copy of the activations then.
        rows = slice(None) if len(group) == self.n else torch.cat([torch.zeros(1, dtype=torch.long), group + 1])
        layers = [layer[rows] for layer in activations]
        fitted = slice(0 if self.include_self else 1, None)
        maps = solve(layers, gradients[:, rows], fitted, **self.how)
        return fuse(maps, layers[-1].shape[2:], self.how["fusion"])

    def _observe(self, pixels: Tensor, targets: list[int]) -> tuple[list[Tensor], Tensor]:
        """Of pixels (N,3,H,W): each layer's activations (N,C,h,w); (K,N,C), the scores' mean gradients at the first."""
        stored: dict[str, Tensor] = {}
        gradients = None
        read = self.readers.get(next(iter(self.modules)), lambda output: output)

        def keep(name: str, maps: Tensor) -> Tensor:
            if name not in stored:
                stored[name] = maps.new_empty(len(pixels), *maps.shape[1:])
            stored[name][rows] = maps
            return stored[name][rows]

        # Of a layer that runs more than once only the last run is kept: the others' maps may have other sizes.
        once = self.repeated == "refuse"
        with features(self.modules, self.readers, self.repeated, keep if once else None) as seen:
            for rows in self.passes.rows(pixels):
                seen.clear()
                with self._timed("forward", pixels.device):
                    output = self.passes(self.classifier.normalise(pixels[rows]))
                seen.check()
                if not once:
                    for name, layer in seen.layers.items():
                        keep(name, layer)
                leaf = seen.leaf
                assert leaf is not None, "the first layer ran"
                if gradients is None:
                    channels = seen.layers[next(iter(self.modules))].shape[1]
                    gradients = full(leaf.detach()).new_empty(len(targets), len(pixels), channels)
                with self._timed("head gradient", pixels.device):
                    for k, target in enumerate(targets):
                        score = self.classifier.score(output, target).sum()
                        more = k + 1 < len(targets)
                        (gradient,) = torch.autograd.grad(score, leaf, retain_graph=more)
                        gradients[k, rows] = full(read(gradient)).flatten(2).mean(2)
        assert gradients is not None
        return [stored[name] for name in self.modules], gradients

    @property
    def batch(self) -> int:
        """Pictures per forward pass, at most; lowered where the memory of a card runs out."""
        return self.passes.batch or self.passes.most

    @batch.setter
    def batch(self, count: int) -> None:
        self.passes.batch = count

    @contextmanager
    def _timed(self, step: str, device: torch.device) -> Iterator[None]:
        """Add the block's wall time to `seconds[step]`; a card is waited for, its work being queued otherwise."""
        start = perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.seconds[step] += perf_counter() - start


def _resolve(source: str | Callable | Sequence, makers: Mapping[str, Callable]) -> sources.Source:
    """A source from what the setting holds: a name, a dotted name, a callable, or a list of these."""
    if callable(source):
        return source
    if isinstance(source, str):
        if source in makers:
            return makers[source]()
        if "." in source:
            return sources.named(source)
    elif isinstance(source, Sequence) and source:
        if "none" in source:
            raise ValueError("source 'none' has no share of n: leave it out, or count the picture by include_self")
        return sources.combine([_resolve(part, makers) for part in source])
    known = ", ".join(makers)
    raise ValueError(f"source is {source!r}; known are {known}, module.function, a callable, or a list of these")
