"""Full-size networks with random weights: how long a pass takes does not depend on what the weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.networks.classifier import Classifier

UNTRAINED = "+model.variants.imagenet.build.pretrained=false"
# torchvision's name: settings that build it; layers are those of conf/model, or of its rule.
NETWORKS = {
    "resnet50": ("model=resnet50", "model.variant=imagenet", UNTRAINED),
    "vgg16": ("model=vgg16_plain", UNTRAINED),
    "vgg16_bn": ("model=vgg16_bn", UNTRAINED),
    "mobilenet_v2": ("model=torchvision", "model.arch=mobilenet_v2", "model.pretrained=false"),
}
CLASSES = [str(number) for number in range(1000)]


def classifier(name: str, device: str) -> Classifier:
    """The network of a name in NETWORKS, the same weights at every call."""
    import torch

    from eval.running.build import build_classifier
    from eval.running.config import load

    built = build_classifier(load([*NETWORKS[name], f"device={device}"]), CLASSES)
    built.network.to(memory_format=torch.channels_last)  # as trained weights are laid out
    return built
