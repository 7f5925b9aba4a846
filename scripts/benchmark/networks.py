"""Full-size networks with random weights: how long a pass takes does not depend on what the weights are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eval.networks.classifier import Classifier

# The outputs of the stages, deep to shallow. Excitation backprop reads the second, RefineCAM all.
STAGES = {
    "resnet50": ["layer4", "layer3", "layer2", "layer1"],
    "vgg16": ["features.30", "features.23", "features.16", "features.9"],
    "vgg16_bn": ["features.43", "features.33", "features.23", "features.13"],
    "mobilenet_v2": ["features.18", "features.13", "features.6", "features.3"],
}
CAM = {"resnet50": ["layer4"], "vgg16": ["features.29"], "vgg16_bn": ["features.42"], "mobilenet_v2": ["features.18"]}
GPNNCAM = {
    "resnet50": ["layer4", "layer3", "layer2"],
    "vgg16": ["features.30", "features.23", "features.16"],
    "vgg16_bn": ["features.41", "features.31", "features.21"],
    "mobilenet_v2": ["features.18", "features.13", "features.6"],
}
CLASSES = [str(number) for number in range(1000)]


def classifier(name: str, device: str) -> Classifier:
    """The network of a name in STAGES with the layers of every use, the same weights at every call."""
    import torch

    from eval.networks.classifier import Classifier
    from eval.networks.imagenet import untrained

    torch.manual_seed(0)
    layers = {"cam": CAM[name], "relevance": CAM[name], "gpnncam": GPNNCAM[name]}
    layers |= {"excitation": STAGES[name][1:2], "refine": STAGES[name]}
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return Classifier(untrained(name), mean, std, layers, CLASSES, device=torch.device(device))
