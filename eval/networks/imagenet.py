"""torchvision's ImageNet classifiers with a named version of their weights, so that a table can say which it was."""

import re
from pathlib import Path

import torch
from torch import nn
from torchvision import models

from eval.networks.checkpoint import fetch, fill, read


def build(
    arch: str, weights: str = "IMAGENET1K_V1", checkpoint: str | Path | None = None, classes: int = 1000
) -> nn.Module:
    """Any of torchvision's classification networks, (B,3,h,w) -> (B,classes).

    arch: as in `torchvision.models.list_models()`. weights: a member of its weights enum; V1 is what papers before
    2022 mean by "torchvision's pretrained". checkpoint: a file with weights of this network instead of the download;
    with it `classes` may be another number. ValueError lists what there is to choose from.
    """
    names = models.list_models(module=models)
    if arch not in names:
        raise ValueError(f"torchvision has no classification network {arch!r}; it has {', '.join(names)}")
    if checkpoint is None:
        known = models.get_model_weights(arch).__members__
        if weights not in known:
            raise ValueError(f"torchvision has no weights {weights!r} for {arch}; it has {', '.join(known)}")
        path = fetch(known[weights].url)
    else:
        path = Path(checkpoint).expanduser()
    state = read(path)
    if arch.startswith("densenet"):
        # The published files keep the names of an older torchvision: norm.1 is norm1 today.
        state = {re.sub(r"(\.denselayer\d+\.(?:norm|relu|conv))\.(\d\.)", r"\1\2", k): v for k, v in state.items()}
    return fill(_empty(arch, classes), state, path)


def untrained(arch: str) -> nn.Module:
    """torchvision's network with random weights, laid out in memory as `build` lays out trained ones: to be timed."""
    return models.get_model(arch, weights=None).eval().to(memory_format=torch.channels_last)


def _empty(arch: str, classes: int) -> nn.Module:
    # These two were trained on (x - 0.5) / 0.5 and convert the usual normalisation themselves, where they are told to.
    extra = {"transform_input": True, "init_weights": False} if arch in ("googlenet", "inception_v3") else {}
    try:
        with torch.device("meta"):
            return models.get_model(arch, weights=None, num_classes=classes, **extra)
    except NotImplementedError:  # RegNet computes with its initial values
        return models.get_model(arch, weights=None, num_classes=classes, **extra)
