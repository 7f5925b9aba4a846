"""Maps that a measure must not take for good ones: of another class, of another picture, random, of the centre."""

import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from baselines.contract import Classifier
from baselines.maps import Maps, read


def drawn(target: int, seed: int) -> np.random.Generator:
    """A class's own random numbers: they depend on no other class that is asked about."""
    return np.random.default_rng([seed, target])


def picture_seed() -> int:
    """From torch's global CPU seed, which the runner sets by picture."""
    return int(torch.randint(2**63 - 1, ()))


class OtherClass:
    """A method's map of another class: for each class one drawn from all others that the network has outputs for. By
    chance that class may be in the picture too.

    Args:
        inner: the method, as its YAML states it (name, blind, build).
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, classifier: Classifier, inner: Mapping):
        if not isinstance(inner, Mapping) or "build" not in inner or inner.get("blind"):
            raise ValueError(f"inner={inner!r} is no method that reads pixels")
        build = inner["build"]
        self.inner = (
            build(classifier=classifier) if inspect.isclass(build.func) else partial(build, classifier=classifier)
        )
        self.known = [index for index, outputs in enumerate(classifier.outputs) if outputs]
        if len(self.known) < 2:
            raise ValueError("the network has outputs for one class alone: there is no other")

    def __call__(self, image: Tensor, targets: Tensor) -> Tensor:
        """image (3,H,W) RGB in [0,1], targets (K,) -> maps (K,h,w)."""
        seed = picture_seed()
        others = [
            int(drawn(target, seed).choice([each for each in self.known if each != target]))
            for target in targets.tolist()
        ]
        asked = sorted(set(others))
        maps = self.inner(image, torch.tensor(asked))
        return maps[[asked.index(other) for other in others]]


class OtherPicture(Maps):
    """A kept map of the same class from another picture; where no other picture has that class, of any class. Blind.

    Args:
        folder: what `save_maps=true` keeps, FOLDER/<key>/<class name>.npy. Maps of other grids are resized to the
            first.
        classes: the names of all classes, in the order of their numbers.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, folder: str, classes: Sequence[str]):
        super().__init__(folder, classes)
        self.keys: dict[str, list[str]] = {}
        for path in sorted(self.folder.rglob("*.npy")):
            self.keys.setdefault(path.name, []).append(path.parent.relative_to(self.folder).as_posix())

    def __call__(self, sample: Any, targets: Tensor) -> Tensor:
        """targets (K,) -> maps (K,h,w)."""
        seed, maps = picture_seed(), []
        for target in targets.tolist():
            name = self.path(sample.key, target).name
            chosen = [(key, name) for key in self.keys.get(name, ()) if key != sample.key]
            chosen = chosen or [(key, each) for each, keys in self.keys.items() for key in keys if key != sample.key]
            if not chosen:
                raise ValueError(f"{self.folder} holds no map of another picture than {sample.key}")
            key, name = chosen[int(drawn(target, seed).integers(len(chosen)))]
            maps.append(torch.from_numpy(read(self.folder / key / name)).double())
        size = maps[0].shape
        return torch.cat([functional.interpolate(each[None, None], size, mode="bilinear")[0] for each in maps])


class RandomMap:
    """A map of uniform noise, anew for each class. Blind.

    Args:
        side: of the map, in cells.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, side: int = 7):
        if side < 2:
            raise ValueError(f"side is {side}; a map that is not constant needs 2")
        self.side = side

    def __call__(self, sample: Any, targets: Tensor) -> Tensor:
        """targets (K,) -> maps (K,side,side)."""
        seed = picture_seed()
        maps = [drawn(target, seed).random((self.side, self.side)) for target in targets.tolist()]
        return torch.from_numpy(np.array(maps).reshape(-1, self.side, self.side))


class CenterMap:
    """A Gaussian around the middle of the picture. Blind.

    Args:
        sigma: its deviation, as a share of the picture's width and height.
        side: of the map, in cells.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, sigma: float = 0.25, side: int = 15):
        if not sigma > 0 or side < 3 or side % 2 == 0:
            raise ValueError(f"sigma is {sigma} and side {side}; sigma is above 0, and an odd side has a middle")
        self.sigma, self.side = sigma, side

    def __call__(self, sample: Any, targets: Tensor) -> Tensor:
        """targets (K,) -> maps (K,side,side)."""
        away = (torch.arange(self.side, dtype=torch.float64) + 0.5) / self.side - 0.5
        line = (-((away / self.sigma) ** 2) / 2).exp()
        return (line[:, None] * line).expand(len(targets), -1, -1)
