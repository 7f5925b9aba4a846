"""iGOS++ against a second implementation in float64: one loss, written out, and autograd."""

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from baselines.igos_pp import IGOSPlusPlus
from eval.networks.classifier import Classifier

TARGETS = torch.tensor([1, 3])
PLAIN = {"cells": 6, "iterations": 3, "steps": 3, "noise": 0.0, "area": 0.05}


def classifier():
    torch.manual_seed(3)
    net = nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.Tanh(), nn.AdaptiveAvgPool2d(3), nn.Flatten(), nn.Linear(54, 5))
    net[4].weight.data *= 6
    made = Classifier(net.double(), [0.5] * 3, [0.25] * 3, {}, list("abcde"))
    made.mean, made.std = made.mean.double(), made.std.double()
    return made


@pytest.fixture
def image():
    smooth = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return functional.interpolate(smooth[None], (30, 36), mode="bicubic")[0].clamp(0, 1)


def reference(made, image, target, kind, iterations, steps, rate=1000.0, sigma=0.01):
    picture = (image - 0.5) / 0.25
    blur = torch.from_numpy(cv2.GaussianBlur(image.permute(1, 2, 0).numpy(), (51, 51), 50)).permute(2, 0, 1)
    blur = (blur - 0.5) / 0.25
    weights = [(-(picture.diff(dim=axis) ** 2).mean(0) / sigma).exp() for axis in (1, 2)]
    x = torch.ones(6, 7, dtype=torch.float64)
    y = x.clone()

    def up(mask):
        return functional.interpolate(mask[None, None], (30, 36), mode="bilinear", align_corners=True)[0, 0]

    def path(first, second, mask):
        total = 0
        for step in range(1, steps + 1):
            mixed = first * mask * (step / steps) + second * (1 - mask * (step / steps))
            output = made.network(mixed[None])[0]
            total = total + (output.softmax(0)[target] if kind == "softmax" else output[target].sigmoid())
        return total / steps

    def parts(x, y):
        both = up(x) * up(y)
        seen = path(picture, blur, up(x)) - path(blur, picture, up(y))
        seen = seen + path(picture, blur, both) - path(blur, picture, both)
        product, variation = x * y, 0
        for axis, weight in enumerate(weights):
            variation = variation + 0.5 * (product.diff(dim=axis) ** 2).mean()
            variation = variation + 0.5 * (weight * up(product).diff(dim=axis) ** 2).mean()
        return seen, 0.05 * (1 - product).abs().mean() + 20 * variation

    rates = []
    for _ in range(iterations):
        x, y = x.detach().requires_grad_(), y.detach().requires_grad_()
        seen, penalty = parts(x, y)
        dx, dy = torch.autograd.grad(seen / 2 + penalty, [x, y])
        with torch.no_grad():
            step, slope = rate, 1e-4 * (dx.square().sum() + dy.square().sum())
            while sum(parts((x - step * dx).clamp(0, 1), (y - step * dy).clamp(0, 1))) > seen + penalty - step * slope:
                step *= 0.2
                if step < 1e-5 * 0.2:
                    break
            rates.append(step)
            x, y = (x - step * dx).clamp(0, 1), (y - step * dy).clamp(0, 1)
    return 1 - up(x * y).detach(), rates


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_masks(kind, image):
    made = classifier()
    actual = IGOSPlusPlus(made, **PLAIN, probability=kind)(image, TARGETS)
    for target, one in zip(TARGETS.tolist(), actual, strict=True):
        expected, rates = reference(made, image, target, kind, PLAIN["iterations"], PLAIN["steps"])
        torch.testing.assert_close(one, expected, rtol=1e-4, atol=1e-6)
        assert min(rates) < 1000, "the line search backtracked"
        assert float(one.std()) > 1e-3


def test_batches_change_nothing_and_noise_is_the_same_for_every_class(image):
    made = classifier()
    whole = IGOSPlusPlus(made, **PLAIN)(image, TARGETS)
    torch.testing.assert_close(IGOSPlusPlus(made, **PLAIN, batch=2)(image, TARGETS), whole)
    noisy = IGOSPlusPlus(made, **PLAIN | {"noise": 0.3})
    torch.manual_seed(1)
    first = noisy(image, TARGETS)
    torch.manual_seed(1)
    assert torch.equal(noisy(image, TARGETS[[1]])[0], first[1])
    torch.manual_seed(2)
    assert not torch.allclose(noisy(image, TARGETS), first)
    assert not torch.allclose(first, whole)


def test_the_deleted_part_is_where_the_class_is():
    """A network that sees brightness of one quarter alone: the map is highest there."""

    class Quarter(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(8.0))

        def forward(self, pixels):
            bright = pixels[:, :, 32:, :32].mean((1, 2, 3))
            return self.scale * torch.stack([bright, torch.zeros_like(bright)], 1)

    made = Classifier(Quarter(), [0.0] * 3, [1.0] * 3, {}, ["bright", "none"])
    image = torch.zeros(3, 64, 64)
    image[:, 40:56, 8:24] = 1
    image[:, 8:24, 40:56] = 1
    torch.manual_seed(0)
    heat = IGOSPlusPlus(made, cells=8, iterations=5, steps=5, noise=0.0)(image, torch.tensor([0]))[0]
    top, left = np.unravel_index(int(heat.argmax()), heat.shape)
    assert top >= 32
    assert left < 32
    assert heat[16, 48] < 0.1 * heat[48, 16]


@pytest.mark.parametrize("wrong", [{"cells": 1}, {"steps": 0}, {"iterations": 0}, {"sigma": 0.0}, {"area": -1.0}])
def test_settings_without_a_meaning(wrong):
    with pytest.raises(ValueError, match="iGOS\\+\\+ needs"):
        IGOSPlusPlus(classifier(), **wrong)
