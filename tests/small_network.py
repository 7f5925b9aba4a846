"""A classifier small enough to know everything about, and GradCAM on it in ten lines, for the tests of GPNN-CAM."""

from types import SimpleNamespace

import torch
from torch import nn

from eval.networks.classifier import Classifier

SIDE = 32


def network(seed=0, linear_head=True):
    """Three blocks at 16, 8 and 4 pixels a side; the head is global average pooling, linear or with a hidden layer."""
    torch.manual_seed(seed)
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    head += [nn.Linear(12, 5)] if linear_head else [nn.Linear(12, 16), nn.Tanh(), nn.Linear(16, 5)]

    def block(i, o):
        return nn.Sequential(nn.Conv2d(i, o, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2))

    return nn.Sequential(block(3, 6), block(6, 8), block(8, 12), *head)


def classifier(net=None, layers=("2", "1", "0"), **kwargs):
    net = network() if net is None else net
    return Classifier(net, [0.5] * 3, [0.25] * 3, {"gpnncam": list(layers)}, [f"c{i}" for i in range(5)], **kwargs)


def random_source(image, n, seed):
    pixels = torch.rand(n, *image.shape, generator=torch.Generator().manual_seed(seed % 2**31))
    return SimpleNamespace(pixels=pixels.to(image))


def copies(image, n, seed):
    return SimpleNamespace(pixels=image.expand(n, -1, -1, -1))


def image(seed=1):
    return torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


def gradcam(net, pixels, target):
    """Ten lines of autograd: ReLU(sum_k mean(dy/dA_k) A_k), as its paper writes it."""
    x = net[:3](pixels[None]).detach().requires_grad_()
    net[3:](x)[0, target].backward()
    return (x.grad.mean((2, 3), keepdim=True) * x).sum(1).relu()[0].detach()


def positive_pairs(net, pixels):
    """Classes whose GradCAM is not empty: an empty one would compare nothing."""
    normal = (pixels - 0.5) / 0.25
    return [t for t in range(5) if gradcam(net, normal, t).max() > 0], normal
