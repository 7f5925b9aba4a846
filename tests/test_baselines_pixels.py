"""Gradient-type maps, occlusion and RISE against second implementations."""

import math
import warnings

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch import nn

from baselines.captum_maps import Deconvnet, Gradient, GuidedBackprop, IntegratedGradients, Occlusion
from baselines.probability import probability
from baselines.rise import RISE
from eval.networks.classifier import Classifier

TARGETS = torch.tensor([1, 0])


class Rectify(torch.autograd.Function):
    """The ReLU of guided backprop: its gradient passes where both input and gradient are positive."""

    @staticmethod
    def forward(ctx, values):
        ctx.save_for_backward(values)
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        (values,) = ctx.saved_tensors
        return gradient.clamp(min=0) * (values > 0)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.classify = nn.Linear(6, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, pixels, relu=None):
        relu = relu or self.relu
        return self.classify(relu(self.second(relu(self.first(pixels)))).mean((2, 3)))


@pytest.fixture
def classifier():
    torch.manual_seed(1)
    made = Classifier(Net().double(), [0.5] * 3, [0.25] * 3, {}, ["a", "b"], outputs=[[0], [1, 2]])
    made.mean, made.std = made.mean.double(), made.std.double()
    return made


@pytest.fixture
def image():
    return torch.rand(3, 20, 28, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def gradients(classifier, pixels, relu=None):
    """(K,3,H,W) by plain autograd."""
    pixels = pixels.clone().requires_grad_()
    output = classifier.network(pixels, relu)
    return torch.cat(
        [torch.autograd.grad(classifier.score(output, int(t)), pixels, retain_graph=True)[0] for t in TARGETS]
    )


def test_gradient(classifier, image):
    actual = Gradient(classifier)(image, TARGETS)
    expected = gradients(classifier, classifier.normalise(image)).abs().amax(1)
    torch.testing.assert_close(actual, expected)


def test_guided_backprop(classifier, image):
    pixels = classifier.normalise(image)
    expected = gradients(classifier, pixels, Rectify.apply)
    assert not torch.allclose(expected, gradients(classifier, pixels))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        actual = GuidedBackprop(classifier)(image, TARGETS)
    torch.testing.assert_close(actual, expected.abs().amax(1))
    plain = gradients(classifier, pixels)
    torch.testing.assert_close(Gradient(classifier)(image, TARGETS), plain.abs().amax(1))


class Deconvolve(torch.autograd.Function):
    """The ReLU of deconvnet: its gradient passes where the gradient is positive."""

    @staticmethod
    def forward(ctx, values):
        return values.clamp(min=0)

    @staticmethod
    def backward(ctx, gradient):
        return gradient.clamp(min=0)


def test_deconvnet(classifier, image):
    pixels = classifier.normalise(image)
    expected = gradients(classifier, pixels, Deconvolve.apply)
    assert not torch.allclose(expected, gradients(classifier, pixels, Rectify.apply))
    torch.testing.assert_close(Deconvnet(classifier)(image, TARGETS), expected.abs().amax(1))


def test_guided_backprop_refuses_a_network_without_relu_modules():
    net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.GELU(), nn.Flatten(), nn.LazyLinear(2))
    net(torch.rand(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"is defined for no other kind; layer .* is a GELU"):
        GuidedBackprop(Classifier(net, [0] * 3, [1] * 3, {}, ["a", "b"]))
    with pytest.raises(ValueError, match=r"deconvnet changes .*is defined for no other kind"):
        Deconvnet(Classifier(net, [0] * 3, [1] * 3, {}, ["a", "b"]))


@pytest.mark.parametrize("baseline", ["black", "grey"])
def test_integrated_gradients_add_up_to_the_difference_of_the_scores(classifier, image, baseline):
    actual = IntegratedGradients(classifier, steps=200, baseline=baseline, batch=64)(image, TARGETS)
    start = (
        classifier.normalise(torch.zeros_like(image)) if baseline == "black" else torch.zeros(1, *image.shape).double()
    )
    with torch.no_grad():
        ends = [classifier.network(pixels) for pixels in (classifier.normalise(image), start)]
    for heat, target in zip(actual, TARGETS.tolist(), strict=True):
        difference = classifier.score(ends[0], target) - classifier.score(ends[1], target)
        assert abs(float(difference)) > 0.01
        assert float(heat.sum()) == pytest.approx(float(difference), rel=1e-2)


def test_occlusion(classifier, image):
    window, stride = 8, 5
    actual = Occlusion(classifier, window, stride, batch=3)(image, TARGETS)
    pixels = classifier.normalise(image)
    total, count = torch.zeros(2, 20, 28, dtype=torch.float64), torch.zeros(20, 28)
    with torch.no_grad():
        whole = classifier.network(pixels)
        for top in range(1 + math.ceil((20 - window) / stride)):
            for left in range(1 + math.ceil((28 - window) / stride)):
                rows = slice(top * stride, top * stride + window)
                columns = slice(left * stride, left * stride + window)
                occluded = pixels.clone()
                occluded[:, :, rows, columns] = 0
                output = classifier.network(occluded)
                for k, target in enumerate(TARGETS.tolist()):
                    lost = classifier.score(whole, target) - classifier.score(output, target)
                    total[k, rows, columns] += lost
                count[rows, columns] += 1
    torch.testing.assert_close(actual, total / count, rtol=1e-5, atol=1e-7)


def test_occlusion_shares_its_passes_between_classes(classifier, image):
    method = Occlusion(classifier, 8, 4, batch=7)
    before = classifier.images_seen
    one = method(image, TARGETS[:1])
    price = classifier.images_seen - before
    both = method(image, TARGETS)
    assert classifier.images_seen - before == 2 * price
    assert torch.equal(both[:1], one)
    with pytest.raises(ValueError, match="window of 32 pixels exceeds the input of 28 x 20"):
        Occlusion(classifier)(image, TARGETS)


def test_rise(classifier, image):
    method = RISE(classifier, masks=9, cells=3, keep=0.6, batch=4)
    torch.manual_seed(11)
    actual = method(image, TARGETS)
    torch.manual_seed(11)
    grids = (torch.rand(9, 3, 3) < 0.6).double()
    rows, columns = torch.randint(7, (9,)), torch.randint(10, (9,))
    expected = torch.zeros(2, 20, 28, dtype=torch.float64)
    pixels = classifier.normalise(image)
    with torch.no_grad():
        for grid, row, column in zip(grids, rows, columns, strict=True):
            large = np.pad(grid.numpy(), 1, mode="reflect")  # the mirror: the row before the first is the second
            places = [(np.arange(n) + 0.5) * 3 / n - 0.5 + 1 for n in (28, 40)]
            large = map_coordinates(large, np.meshgrid(*places, indexing="ij"), order=1)
            large = torch.from_numpy(large)
            mask = large[row : row + 20, column : column + 28]
            chances = classifier.network(pixels * mask).softmax(1)[0]
            expected[0] += (chances[1] + chances[2]) * mask
            expected[1] += chances[0] * mask
    torch.testing.assert_close(actual, expected / (9 * 0.6))


def test_rise_finds_what_the_score_depends_on():
    class Corner(nn.Module):
        def forward(self, pixels):
            bright = pixels[:, :, 24:36, 8:20].mean((1, 2, 3))
            return torch.stack([10 * bright, torch.full_like(bright, 5)], 1)

    classifier = Classifier(Corner(), [0] * 3, [1] * 3, {}, ["bright", "other"])
    torch.manual_seed(0)
    heat = RISE(classifier, masks=400)(torch.ones(3, 48, 48), torch.tensor([0]))[0]
    row, column = divmod(int(heat.argmax()), 48)
    assert 20 <= row < 40
    assert 4 <= column < 24


def test_probability(classifier):
    output = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(probability(classifier, output, 0, "softmax"), output.softmax(1)[:, 0])
    torch.testing.assert_close(probability(classifier, output, 1, "softmax"), output.softmax(1)[:, 1:].sum(1))
    torch.testing.assert_close(probability(classifier, output, 0, "sigmoid"), output[:, 0].sigmoid())
    spatial = output[:, :, None, None].expand(4, 3, 5, 2)
    for kind in ("softmax", "sigmoid"):
        torch.testing.assert_close(probability(classifier, spatial, 0, kind), probability(classifier, output, 0, kind))
    with pytest.raises(ValueError, match="probability is 'logit'; known are softmax, sigmoid"):
        probability(classifier, output, 0, "logit")


@pytest.mark.parametrize(
    "build",
    [
        lambda c: Gradient(c, channels="max"),
        lambda c: IntegratedGradients(c, baseline="white"),
        lambda c: IntegratedGradients(c, steps=0),
        lambda c: Occlusion(c, window=4, stride=5),
        lambda c: RISE(c, keep=0),
        lambda c: RISE(c, masks=0),
        lambda c: RISE(c, probability="logit"),
    ],
)
def test_settings_that_make_no_sense(classifier, build):
    with pytest.raises(ValueError, match=r"none of|neither|at least 1"):
        build(classifier)
