"""Excitation backprop: probabilities are conserved, a second implementation agrees, two equal classes cancel."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from baselines.excitation_backprop import ContrastiveExcitationBackprop, ExcitationBackprop
from baselines.propagation import Parts
from eval.networks import demo
from eval.networks.classifier import Classifier

TARGETS = torch.tensor([1, 3])


class Net(nn.Module):
    """A stem, a residual block with a shortcut of its own, average pools, two linear layers."""

    def __init__(self, spatial: bool = False):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2))
        self.conv, self.norm = nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.shortcut = nn.Conv2d(6, 8, 1)
        self.pool = nn.AvgPool2d(4)
        self.hidden, self.classify = (
            (nn.Conv2d(8, 7, 1), nn.Conv2d(7, 5, 1))
            if spatial
            else (
                nn.Linear(48, 7),
                nn.Linear(7, 5),
            )
        )
        self.spatial = spatial

    def forward(self, pixels):
        stem = self.stem(pixels)
        out = self.norm(self.conv(stem))
        out += self.shortcut(stem)
        out = self.pool(out.relu())
        out = out if self.spatial else out.flatten(1)
        return self.classify(self.hidden(out).relu())


def classifier_of(net, layers=("stem",), classes=5):
    layers = {"excitation": list(layers)}
    made = Classifier(net, [0.4] * 3, [0.25] * 3, layers, [f"c{i}" for i in range(classes)])
    made.mean, made.std = made.mean.to(next(net.parameters())), made.std.to(next(net.parameters()))
    return made


@pytest.fixture(params=[False, True], ids=["scores", "score maps"])
def net(request):
    torch.manual_seed(4)
    net = Net(request.param).double()
    net.norm.running_mean.normal_(0, 0.1)
    net.norm.running_var.uniform_(0.5, 2)
    net.norm.bias.data.zero_()
    return net


@pytest.fixture
def image():
    return torch.rand(3, 16, 24, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def matrix(function, shape):
    """The matrix of a linear function of one tensor of `shape`, column by column."""
    count = torch.Size(shape).numel()
    basis = torch.eye(count, dtype=torch.float64).view(count, *shape)
    return torch.stack([function(column[None]).flatten() for column in basis], 1)


def down(weights, values, probabilities):
    """The rule, in two loops' worth of matrices: p_j = x_j sum_i w+_ij p_i / sum_k w+_ik x_k."""
    positive = weights.clamp(min=0)
    total = positive @ values
    return values * (positive.T @ torch.where(total > 0, probabilities / total, torch.zeros_like(total)))


def by_hand(net, pixels, target, contrast=False):
    """(6,8,12): what arrives at the stem's output, layer by layer with dense matrices."""
    net.eval()
    stem = net.stem(pixels)[0]
    branch, identity = net.norm(net.conv(stem[None]))[0], net.shortcut(stem[None])[0]
    joined = (branch + identity).relu()
    pooled = net.pool(joined[None])[0]
    flat = pooled if net.spatial else pooled.flatten()
    middle = net.hidden(flat[None])[0].relu()
    output = net.classify(middle[None])[0]

    def without_bias(layer):
        kind = functional.conv2d if layer.weight.dim() == 4 else functional.linear
        padding = {"padding": layer.padding} if layer.weight.dim() == 4 else {}
        return lambda values: kind(values, layer.weight, None, **padding)

    begin = torch.zeros_like(output)
    begin[target] = output[target].flatten().softmax(0).view_as(begin[target]) if net.spatial else 1
    last = matrix(without_bias(net.classify), middle.shape)
    actual = down(last, middle.flatten(), begin.flatten())
    if contrast:
        actual = actual - down(-last, middle.flatten(), begin.flatten())
    actual = down(matrix(without_bias(net.hidden), flat.shape), flat.flatten(), actual)
    actual = down(matrix(net.pool, joined.shape), joined.flatten(), actual).view_as(joined)
    total = torch.where(branch + identity != 0, branch + identity, torch.ones_like(branch))
    sides = [(net.conv, branch), (net.shortcut, identity)]
    parts = [
        down(matrix(without_bias(layer), stem.shape), stem.flatten(), (actual * side / total).flatten())
        for layer, side in sides
    ]
    return sum(parts).view_as(stem).detach()


@pytest.mark.parametrize("contrast", [False, True])
def test_layer_by_layer_with_matrices(net, image, contrast):
    classifier = classifier_of(net)
    method = ContrastiveExcitationBackprop(classifier) if contrast else ExcitationBackprop(classifier)
    (actual,) = method.probabilities(image, TARGETS)
    expected = torch.stack([by_hand(net, classifier.normalise(image), int(t), contrast) for t in TARGETS])
    close = {"rtol": 1e-5, "atol": 1e-8}  # an addition's share is stabilised by 1e-9
    torch.testing.assert_close(actual, expected, **close)
    heat = expected.sum(1)
    torch.testing.assert_close(method(image, TARGETS), heat.clamp(min=0) if contrast else heat, **close)
    assert not contrast or (heat < 0).any(), "else nothing was contrasted"


def demo_classifier(name):
    layers = {"vgg16": "features.23", "resnet50": "layer3"}
    return classifier_of(getattr(demo, name)(), [layers[name]], demo.CLASSES)


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_probabilities_are_conserved_and_the_price_is_a_pass(name):
    classifier = demo_classifier(name)
    image = torch.rand(3, 112, 112, generator=torch.Generator().manual_seed(0))
    for method in (ExcitationBackprop(classifier), ContrastiveExcitationBackprop(classifier)):
        before = classifier.images_seen
        (actual,) = method.probabilities(image, torch.tensor([0, 7, 19]))
        assert classifier.images_seen == before + 1
        total = 1.0 if method.name == "excitation backprop" else 0.0
        torch.testing.assert_close(actual.sum((1, 2, 3)), torch.full((3,), total), rtol=0, atol=1e-3)
        assert actual.abs().sum() > 0.01


def test_two_equal_classes_cancel(net, image):
    net.classify.weight.data[3] = net.classify.weight.data[1]
    net.classify.bias.data[3] = net.classify.bias.data[1]
    classifier = classifier_of(net)
    method = ContrastiveExcitationBackprop(classifier, against="c3")
    assert (method(image, torch.tensor([1])) == 0).all()
    assert method(image, torch.tensor([0])).max() > 0
    same = ContrastiveExcitationBackprop(classifier, against=3)
    assert torch.equal(same(image, torch.tensor([0])), method(image, torch.tensor([0])))
    for against in ("c9", 5):
        with pytest.raises(ValueError, match="none of the classes c0, c1"):
            ContrastiveExcitationBackprop(classifier, against=against)


def test_a_layer_behind_the_last_linear_one_has_no_contrast(image):
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    with pytest.raises(ValueError, match="needs a linear layer behind 1"):
        ContrastiveExcitationBackprop(classifier_of(net, ["1"], 4))(image, TARGETS)


def test_positive_parts_are_made_once_and_anew_when_weights_change():
    layer, parts = nn.Linear(3, 2), Parts()
    made = parts.layer(layer, 1)
    assert torch.equal(made.weight, layer.weight.clamp(min=0))
    assert made.bias is None
    assert parts.layer(layer, 1) is made
    assert torch.equal(parts.layer(layer, -1).weight, (-layer.weight).clamp(min=0))
    parts.opposed = layer
    assert parts.layer(layer, -1) is made
    parts.opposed = None
    with torch.no_grad():
        layer.weight.neg_()
    assert torch.equal(parts.layer(layer, 1).weight, layer.weight.clamp(min=0))
