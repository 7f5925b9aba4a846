"""Protocols of the pointing game as named settings, and the input pipelines that they prescribe.

A protocol has two halves. `input` is fixed when a run is made: it decides what the network sees. `hit`, `tolerance` and
`average` are applied to the recorded rows afterwards, so one run serves every protocol with the same input.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def _checked(cls, settings: Mapping, what: str):
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
    smooth: what methods of gradient type take for their own `smooth` (eval/smoothing.py), which is what counts.
    """

    mode: str = "squash"
    side: int = 224
    antialias: bool = True
    spatial: bool = False
    smooth: float = 0.0

    def __post_init__(self):
        if self.mode not in ("squash", "shorter_side"):
            raise ValueError(f"protocol.input.mode must be squash or shorter_side, not {self.mode!r}")
        if self.side < 1:
            raise ValueError(f"protocol.input.side must be at least 1, not {self.side}")

    def of_method(self, settings: Mapping | None) -> "Input":
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

    def __post_init__(self):
        if self.hit not in ("inside", "tolerance"):
            raise ValueError(f"protocol.hit must be inside or tolerance, not {self.hit!r}")
        if self.average not in ("pair", "class"):
            raise ValueError(f"protocol.average must be pair or class, not {self.average!r}")

    def counts(self, row: Mapping) -> bool:
        """Whether a row (`inside`, `distance`, `constant`) is a hit under these rules."""
        if row["constant"]:
            return False
        return row["inside"] if self.hit == "inside" else row["distance"] < self.tolerance

    @classmethod
    def from_settings(cls, settings: Mapping) -> "Protocol":
        """From a plain mapping as in conf/protocol/*.yaml; ValueError names an unknown or bad setting."""
        given = dict(settings)
        given["input"] = _checked(Input, given.get("input", {}), "protocol.input")
        return _checked(cls, given, "protocol")
