"""torchvision's ImageNet classifiers with a named version of their weights, so that a table can say which it was."""

import re
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torchvision import models

from eval.files.places import near
from eval.networks.checkpoint import awake, fetch, fill, random_weights, read

libraries = ("torchvision",)  # whose versions decide the network


def build(
    arch: str,
    weights: str = "IMAGENET1K_V1",
    checkpoint: str | Path | None = None,
    classes: int = 1000,
    pretrained: bool = True,
    side: int | None = None,
) -> nn.Module:
    """Any of torchvision's classification networks, (B,3,h,w) -> (B,classes).

    arch: as in `torchvision.models.list_models()`. weights: a member of its weights enum; V1 is what papers before
    2022 mean by "torchvision's pretrained". checkpoint: a file with weights of this network instead of the download;
    with it, or with pretrained: false (random weights, the same every time), `classes` may be another number.
    side: of the input of a vision transformer, which takes one size only; None: that of its weights.
    ValueError lists what there is to choose from.
    """
    _check(arch)
    if checkpoint is None and not pretrained:
        with random_weights():
            return awake(models.get_model(arch, weights=None, num_classes=classes, **_extra(arch, side)))
    path = fetch(_weights(arch, weights).url) if checkpoint is None else Path(checkpoint).expanduser()
    state = read(path)
    if arch.startswith("densenet"):
        # The published files keep the names of an older torchvision: norm.1 is norm1 today.
        state = {re.sub(r"(\.denselayer\d+\.(?:norm|relu|conv))\.(\d\.)", r"\1\2", k): v for k, v in state.items()}
    return fill(_empty(arch, classes, side), state, path)


def side(arch: str, weights: str = "IMAGENET1K_V1") -> int:
    """The side of the square picture that these weights were made for."""
    _check(arch)
    return int(_weights(arch, weights).transforms().crop_size[0])


def _check(arch: str) -> None:
    names = models.list_models(module=models)
    if arch not in names:
        raise ValueError(f"torchvision has no classification network {arch!r}; near names: {near(arch, names, 5)}")


def _weights(arch: str, weights: str) -> Any:  # a member of torchvision's enum
    known = models.get_model_weights(arch).__members__
    if weights not in known:
        raise ValueError(f"torchvision has no weights {weights!r} for {arch}; it has {', '.join(known)}")
    return known[weights]


def _extra(arch: str, side: int | None) -> dict:
    # These two were trained on (x - 0.5) / 0.5 and convert the usual normalisation themselves, given transform_input.
    if arch in ("googlenet", "inception_v3"):
        return {"transform_input": True, "init_weights": False}
    return {"image_size": side} if arch.startswith("vit_") and side is not None else {}


def _empty(arch: str, classes: int, side: int | None) -> nn.Module:
    extra = _extra(arch, side)
    try:
        with torch.device("meta"):
            return models.get_model(arch, weights=None, num_classes=classes, **extra)
    except NotImplementedError:  # RegNet computes with its initial values
        return models.get_model(arch, weights=None, num_classes=classes, **extra)
