"""Protocols of the pointing game as named settings, and the input pipelines that they prescribe.

A protocol has two halves. `input` is fixed when a run is made: it decides what the network sees. `hit`, `tolerance` and
`average` are applied to the recorded rows afterwards, so one run serves every protocol with the same input.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from eval.files.places import CONF, near

if TYPE_CHECKING:  # tables read protocols too, and need neither torch nor pictures
    from PIL import Image
    from torch import Tensor


def _checked(cls: Any, settings: Mapping[str, Any], what: str) -> Any:
    known = {field.name for field in fields(cls)}
    unknown = set(settings) - known
    if unknown:
        raise ValueError(f"unknown {what} setting {', '.join(sorted(unknown))}; known are {', '.join(sorted(known))}")
    return cls(**settings)


@dataclass(frozen=True)
class Input:
    """What the network sees.

    mode: "squash": side x side, aspect ignored. "shorter_side": shorter side becomes `side`, the longer is floored.
    antialias: whether the bilinear resize averages when it shrinks (PIL does, TorchRay's tensors do not).
    spatial: whether networks that can are used fully convolutionally, with a map of scores (TorchRay).
    smooth: what methods of gradient type take for their own `smooth` (eval/game/smoothing.py), which is what counts.
    """

    mode: str = "squash"
    side: int = 224
    antialias: bool = True
    spatial: bool = False
    smooth: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("squash", "shorter_side"):
            raise ValueError(f"protocol.input.mode must be squash or shorter_side, not {self.mode!r}")
        if self.side < 1:
            raise ValueError(f"protocol.input.side must be at least 1, not {self.side}")

    def of_method(self, settings: Mapping[str, Any] | None) -> Input:
        """With a method's own `input` settings in place of the protocol's: mode, side, antialias, or ValueError.

        TorchRay shows the same picture to every method but RISE, which sees it squashed.
        """
        unknown = set(settings or {}) - {"mode", "side", "antialias"}
        if unknown:
            raise ValueError(f"a method's input has no setting {', '.join(sorted(unknown))}; mode, side, antialias are")
        return replace(self, **(settings or {}))

    def size(self, width: int, height: int) -> tuple[int, int]:
        """(width, height) at the network's input for a picture of that original size."""
        if self.mode == "squash":
            return self.side, self.side
        shorter = min(width, height)
        return max(1, width * self.side // shorter), max(1, height * self.side // shorter)

    def pixels(self, image: Image.Image) -> Tensor:
        """(3,h,w) float32 RGB in [0,1] at the network's input size."""
        import torch
        import torch.nn.functional as F

        width, height = self.size(*image.size)
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
        if (width, height) != image.size:
            pixels = F.interpolate(
                pixels, (height, width), mode="bilinear", align_corners=False, antialias=self.antialias
            )
        return pixels[0].clamp_(0, 1)


@dataclass(frozen=True)
class Protocol:
    """A named set of rules; see the README for where each comes from.

    hit: "inside": the pixel that holds the point lies in the region. "tolerance": the point is less than `tolerance`
        pixels of the original picture away from it.
    average: "pair": hits / pairs. "class": mean over classes of the accuracy of each class.
    A constant map has no highest point and is a miss under every protocol; among several highest points the first in
    row-major order counts, and how many there were stands in the row.
    """

    name: str
    input: Input
    hit: str = "inside"
    tolerance: float = 15.0
    average: str = "pair"

    def __post_init__(self) -> None:
        if self.hit not in ("inside", "tolerance"):
            raise ValueError(f"protocol.hit must be inside or tolerance, not {self.hit!r}")
        if self.average not in ("pair", "class"):
            raise ValueError(f"protocol.average must be pair or class, not {self.average!r}")

    def hits(self, inside: ArrayLike, distance: ArrayLike, constant: ArrayLike) -> np.ndarray:
        """(n,) bool, which of n rows are hits: the hit rule, from the rows' fields of these names, each (n,)."""
        near = np.asarray(inside, bool) if self.hit == "inside" else np.asarray(distance, float) < self.tolerance
        return near & ~np.asarray(constant, bool)

    @property
    def label(self) -> str:
        """The name, and in brackets how these rules differ from conf/protocol/NAME.yaml."""
        return _label(self)

    @classmethod
    def from_settings(cls, settings: Mapping) -> Protocol:
        """From a plain mapping as in conf/protocol/*.yaml; ValueError names an unknown or bad setting."""
        given = dict(settings)
        given["input"] = _checked(Input, given.get("input", {}), "protocol.input")
        return _checked(cls, given, "protocol")


@functools.cache
def _label(protocol: Protocol) -> str:
    try:
        usual = named_protocol(protocol.name)
    except FileNotFoundError:
        return protocol.name
    changed = [f"{name}={_plain(value)}" for name, value in _differences(asdict(protocol), asdict(usual))]
    return f"{protocol.name} [{', '.join(changed)}]" if changed else protocol.name


def _differences(protocol: dict, usual: dict) -> list[tuple[str, Any]]:
    scoring = {name: value for name, value in protocol.items() if name != "input"}
    if scoring["hit"] == "inside":  # no tolerance decides then
        scoring["tolerance"] = usual["tolerance"]
    flat = scoring | {f"input.{name}": value for name, value in protocol["input"].items()}
    known = usual | {f"input.{name}": value for name, value in usual["input"].items()}
    return [(name, value) for name, value in flat.items() if value != known[name]]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@functools.cache
def named_protocol(name: str) -> Protocol:
    """The protocol conf/protocol/NAME.yaml; FileNotFoundError names those that exist."""
    import yaml

    known = {path.stem: path for path in (CONF / "protocol").glob("*.yaml")}
    if name not in known:
        raise FileNotFoundError(f"there is no protocol {name!r}; near names: {near(name, known)}")
    return Protocol.from_settings(yaml.safe_load(known[name].read_text(encoding="utf-8")))
