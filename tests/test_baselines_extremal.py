"""Extremal perturbations against a second implementation, and what the masks must be."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch import nn

from baselines.extremal_perturbation import ExtremalPerturbation, SmoothMasks, between, blurred
from eval.networks.classifier import Classifier

TARGETS = torch.tensor([2, 0])


@pytest.fixture
def classifier():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 6, 5, stride=2), nn.Tanh(), nn.Conv2d(6, 4, 3, stride=2)).double()
    made = Classifier(net, [0.5] * 3, [0.25] * 3, {}, ["a", "b", "c"], outputs=[[0], [1], [2, 3]])
    made.mean, made.std = made.mean.double(), made.std.double()
    return made


@pytest.fixture
def image():
    return torch.rand(3, 20, 26, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def smooth_mask(grid, size, step, sigma):
    """One pixel after the other: the smooth maximum over the cells of a window around it, beyond the picture too."""
    margin, radius = round(sigma), 1 + math.ceil(sigma / step)
    padding = radius + math.ceil(sigma / step)
    whole = [step * (math.ceil(side / step) + 2 * padding - 2 * radius) - step + 1 for side in size]
    mask = torch.zeros(whole, dtype=torch.float64)
    for y in range(whole[0]):
        for x in range(whole[1]):
            values = []
            for down in range(y // step - padding, y // step - padding + 2 * radius + 1):
                for across in range(x // step - padding, x // step - padding + 2 * radius + 1):
                    away = math.hypot(y - (sigma + step * down), x - (sigma + step * across)) / sigma
                    inside = 0 <= down < len(grid) and 0 <= across < len(grid[0])
                    strength = math.exp(-2 * max(0, away - 0.5) ** 2)
                    values.append(strength * float(grid[down][across]) if inside else 0.0)
            weights = np.exp(20 * np.array(values))
            mask[y, x] = float(weights @ values / weights.sum())
    return mask, mask[margin : margin + size[0], margin : margin + size[1]]


def test_smooth_masks(image):
    step, sigma = 5, 6.0
    masks = SmoothMasks((20, 26), step, sigma, image)
    grid = torch.rand(2, *masks.cells, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    whole = masks(grid)
    for actual, one in zip(whole, grid, strict=True):
        expected, cropped = smooth_mask(one, (20, 26), step, sigma)
        torch.testing.assert_close(actual, expected)
        torch.testing.assert_close(masks.inside(actual[None])[0], cropped)


def test_pictures_between_the_levels_of_blur(image):
    pyramid = blurred(image[None], 5)
    for level in range(4):
        sigma = 20 * (1 - level / 4)
        expected = [gaussian_filter(c, sigma, mode="constant", radius=math.ceil(4 * sigma)) for c in image.numpy()]
        np.testing.assert_allclose(pyramid[level].numpy(), np.stack(expected), rtol=1e-9, atol=1e-12)
    assert torch.equal(pyramid[4], image)
    masks = torch.rand(2, 20, 26, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    masks[0, 0, 0], masks[0, 0, 1] = 0, 1
    actual = between(pyramid, masks)
    for n, y, x in [(0, 0, 0), (0, 0, 1), (0, 5, 7), (1, 19, 25)]:
        expected = [np.interp(float(masks[n, y, x]) * 4, range(5), pyramid[:, c, y, x].numpy()) for c in range(3)]
        np.testing.assert_allclose(actual[n, :, y, x].numpy(), expected)


def test_steps_as_torchs_own_optimiser_takes_them(classifier, image):
    areas, steps = (0.1, 0.3), 5
    actual = ExtremalPerturbation(classifier, areas, steps, step=5, sigma=6.0, levels=4, batch=3).masks(image, TARGETS)
    pixels = classifier.normalise(image)
    pyramid, smooth = blurred(pixels, 4), SmoothMasks((20, 26), 5, 6.0, pixels)
    for k, outputs in enumerate(([2, 3], [0])):
        for a, area in enumerate(areas):
            grid = torch.ones(1, *smooth.cells, dtype=torch.float64, requires_grad=True)
            optimiser = torch.optim.SGD([grid], lr=0.01, momentum=0.9, dampening=0.9)
            for number in range(steps):
                whole = smooth(grid)
                mask = smooth.inside(whole)
                seen = between(pyramid, mask)
                logits = classifier.network(seen.flip(3) if number % 2 == 0 else seen).mean((2, 3))[0]
                ordered = whole.flatten().sort().values
                ones = torch.zeros_like(ordered)
                ones[int(len(ones) * (1 - area)) :] = 1
                loss = 300 * 1.0035**number * ((ordered - ones) ** 2).mean() - logits[outputs].logsumexp(0)
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                with torch.no_grad():
                    grid.clamp_(0, 1)
            torch.testing.assert_close(actual[k, a], mask[0].detach(), rtol=1e-9, atol=1e-12)


def test_the_masks_take_their_areas_and_find_what_the_class_needs():
    """The score is the blue inside a square, of which blur leaves little: the mask must lie on it."""

    class Blue(nn.Module):
        def forward(self, pixels):
            return 40 * (pixels[:, 2:, 8:24, 30:46] - pixels[:, :1, 8:24, 30:46]).mean((2, 3))

    image = torch.full((3, 56, 63), 0.2)
    image[2, 8:24, 30:46] = 1
    classifier = Classifier(Blue(), [0.2] * 3, [1.0] * 3, {}, ["blue"])
    steps = []
    settings = {"areas": (0.1, 0.2), "max_iter": 200, "sigma": 10.0, "jitter": False}
    method = ExtremalPerturbation(classifier, **settings, progress=lambda *done: steps.append(done))
    masks = method.masks(image, torch.tensor([0]))[0]
    assert steps == [(number, 200) for number in range(1, 201)]
    inside = torch.zeros(56, 63, dtype=torch.bool)
    inside[8:24, 30:46] = True
    for mask in masks:
        assert mask.min() >= 0
        assert mask.max() <= 1
        assert mask[inside].mean() > 0.95
        assert mask[~inside].mean() < 0.35
    assert masks[0].mean() < masks[1].mean()
    assert torch.equal(method(image, torch.tensor([0]))[0], masks.sum(0))


def test_batches_share_passes_between_areas_and_classes(classifier, image):
    settings = {"areas": (0.1, 0.2), "max_iter": 3, "step": 5, "sigma": 6.0}
    seen = []
    classifier.network.register_forward_pre_hook(lambda _module, inputs: seen.append(len(inputs[0])))
    apart = ExtremalPerturbation(classifier, **settings, batch=2).masks(image, TARGETS)
    assert seen == [2] * 6
    seen.clear()
    together = ExtremalPerturbation(classifier, **settings, batch=4).masks(image, TARGETS)
    assert seen == [4] * 3
    torch.testing.assert_close(together, apart)
    alone = ExtremalPerturbation(classifier, **settings, batch=2).masks(image, TARGETS[1:])
    assert torch.equal(alone[0], apart[1])


@pytest.mark.parametrize("settings", [{"areas": []}, {"areas": [1.0]}, {"max_iter": 0}, {"levels": 1}, {"sigma": 0}])
def test_settings_that_make_no_sense(classifier, settings):
    with pytest.raises(ValueError, match="extremal perturbations need"):
        ExtremalPerturbation(classifier, **settings)
