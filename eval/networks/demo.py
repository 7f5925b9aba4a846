"""The built-in data's classifiers: VGG16 and ResNet50 as the paper has them, layer for layer, with fewer channels.

Modules are named as in torchvision, so `features.29` or `layer3` mean the same layers as in the networks of the paper.
Input: (B,3,224,224) RGB, normalised by MEAN and STD. Output: (B,20) logits of a multi-label classifier. The committed
weights (half precision) come from `python -m scripts.maintain.train_demo`; metadata tell how good they are.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from eval.networks.checkpoint import fill, read

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 20


def vgg16(pretrained: bool = True, checkpoint: str | Path | None = None) -> nn.Module:
    """Narrow VGG16 in eval mode: committed weights, a checkpoint file's, or (pretrained=False) random ones."""
    return _filled(VGG16(), "vgg16", pretrained, checkpoint)


def resnet50(pretrained: bool = True, checkpoint: str | Path | None = None) -> nn.Module:
    """Narrow ResNet50 in eval mode: committed weights, a checkpoint file's, or (pretrained=False) random ones."""
    return _filled(ResNet50(), "resnet50", pretrained, checkpoint)


def weights(name: str) -> Path:
    """Where the committed weights of "vgg16" or "resnet50" lie."""
    return Path(__file__).with_name(f"demo_{name}.safetensors")


def _filled(network: nn.Module, name: str, pretrained: bool, checkpoint: str | Path | None) -> nn.Module:
    if checkpoint is None and not pretrained:
        return network.eval()
    path = weights(name) if checkpoint is None else Path(checkpoint)
    return fill(network, read(path), path)


class VGG16(nn.Module):
    """Simonyan and Zisserman (2015), configuration D: 13 convolutions, 5 pools, 3 fully connected layers.

    batch_norm: with a normalisation behind every convolution, to be trained; `folded` removes them.
    """

    WIDTHS = (8, 16, 32, 64, 128)
    DEPTHS = (2, 2, 3, 3, 3)
    HIDDEN = 192

    def __init__(self, batch_norm: bool = False, dropout: float = 0.05):
        super().__init__()
        layers, channels = [], 3
        for width, depth in zip(self.WIDTHS, self.DEPTHS, strict=True):
            for _ in range(depth):
                layers.append(nn.Conv2d(channels, width, 3, padding=1))
                layers += [nn.BatchNorm2d(width)] if batch_norm else []
                layers.append(nn.ReLU())
                channels = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(channels * 49, self.HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(self.HIDDEN, self.HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(self.HIDDEN, CLASSES),
        )
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,h,w) -> logits (B,20)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))

    @torch.no_grad()
    def folded(self) -> "VGG16":
        """The same function, in eval mode, without batch norm: scale and shift go into the convolution before."""
        plain = VGG16()
        convolutions = [m for m in plain.features if isinstance(m, nn.Conv2d)]
        trained = [m for m in self.features if isinstance(m, nn.Conv2d)]
        norms = [m for m in self.features if isinstance(m, nn.BatchNorm2d)]
        for to, conv, norm in zip(convolutions, trained, norms, strict=True):
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            to.weight.copy_(conv.weight * scale[:, None, None, None])
            to.bias.copy_((conv.bias - norm.running_mean) * scale + norm.bias)
        plain.classifier.load_state_dict(self.classifier.state_dict())
        return plain.eval()


class ResNet50(nn.Module):
    """He et al. (2016): bottlenecks 3-4-6-3, the stride in their 3 x 3 convolution as torchvision has it."""

    WIDTH = 16
    DEPTHS = (3, 4, 6, 3)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, self.WIDTH, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(self.WIDTH)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = self.WIDTH
        for number, depth in enumerate(self.DEPTHS):
            width = self.WIDTH * 2**number
            stage = nn.Sequential(_bottleneck(channels, width, stride=1 if number == 0 else 2))
            stage.extend(_bottleneck(4 * width, width, stride=1) for _ in range(depth - 1))
            self.add_module(f"layer{number + 1}", stage)
            channels = 4 * width
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(channels, CLASSES)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        """(B,3,h,w) -> logits (B,20)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


class Bottleneck(nn.Module):
    """A residual block, 1 x 1, 3 x 3, 1 x 1, its modules named as in torchvision, whose import would take a second."""

    def __init__(self, channels: int, width: int, stride: int, shortcut: nn.Module | None):
        super().__init__()
        self.stride = stride
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()  # not in place, which attribution methods cannot have
        self.downsample = shortcut

    def forward(self, x: Tensor) -> Tensor:
        """(B,channels,h,w) -> (B,4 width,h / stride,w / stride)."""
        carried = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(x)))))
        return self.relu(x + carried)


def _bottleneck(channels: int, width: int, stride: int) -> Bottleneck:
    shortcut = None
    if channels != 4 * width:
        shortcut = nn.Sequential(nn.Conv2d(channels, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
    return Bottleneck(channels, width, stride, shortcut)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, Bottleneck):
            nn.init.zeros_(module.bn3.weight)  # every block starts as the identity: sixteen of them train at once
