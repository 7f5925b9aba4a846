"""ReLUs as functions and as modules: guided backprop, deconvnet and relevance give one map for equal networks."""

import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision import models

from baselines.captum_maps import Deconvnet, GuidedBackprop
from baselines.excitation_backprop import ExcitationBackprop
from baselines.relevance_cam import RelevanceCAM
from eval.networks.classifier import Classifier

TARGETS = torch.tensor([0, 2])
# Each is max(0, x) up to a top, as a function would write it.
WAYS = {
    "relu": functional.relu,
    "relu in place": lambda x: functional.relu(x, inplace=True),
    "relu_ as a statement": lambda x: (x.relu_(), x)[1],
    "method": lambda x: x.relu(),
    "clamp": lambda x: x.clamp(min=0),
    "clamp by place": lambda x: torch.clamp(x, 0),
    "clamp_min": lambda x: x.clamp_min(0),
}


class Net(nn.Module):
    """Normalises behind its last ReLU, so that relevance arrives where the ReLU returned zeros."""

    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two, self.norm = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 8, 3, 2, 1), nn.BatchNorm2d(8)
        self.last, self.act = nn.Linear(8, 3), act
        self.norm.running_mean.uniform_(-0.5, 0.5)

    def forward(self, pixels):
        maps = self.norm(self.act(self.two(self.act(self.one(pixels)))))
        return self.last(functional.adaptive_avg_pool2d(maps, 1).flatten(1))


def classifier(network):
    layers = {"relevance": ["one"], "excitation": ["one"], "cam": ["one"]}
    return Classifier(network, [0.5] * 3, [0.25] * 3, layers, ["a", "b", "c"], side=24)


def image(side=24):
    return torch.rand(3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("method", [GuidedBackprop, Deconvnet, RelevanceCAM, ExcitationBackprop])
def test_a_called_relu_is_a_module(method, way):
    expected = method(classifier(Net(nn.ReLU())))(image(), TARGETS)
    actual = method(classifier(Net(WAYS[way])))(image(), TARGETS)
    torch.testing.assert_close(actual, expected)
    assert expected.flatten(1).std(1).min() > 0


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvnet])
def test_a_relu6_stops_gradients_above_its_top_where_the_rule_reads_them(method):
    def net(act):
        made = Net(act)
        made.one.weight.data *= 40
        return classifier(made)

    expected = method(net(nn.ReLU6()))(image(), TARGETS)
    for way in (functional.relu6, lambda x: x.clamp(0, 6), lambda x: functional.hardtanh(x, 0, 6)):
        torch.testing.assert_close(method(net(way))(image(), TARGETS), expected)
    above = torch.allclose(method(net(nn.ReLU()))(image(), TARGETS), expected)
    assert above == (method is Deconvnet), "deconvnet reads the gradient alone, whatever the input was"


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvnet])
def test_the_rule_by_hand(method):
    """One ReLU between two convolutions, its backward pass written out."""
    network = Net(nn.Identity()).double().eval()
    weights = network.two.weight.detach()
    made = nn.Sequential(network.one, nn.ReLU(), network.two, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    made = Classifier(made, [0.5] * 3, [0.25] * 3, {}, list("abcdefgh"), side=24)
    pixels = made.normalise(image().double())
    middle = network.one(pixels)
    above = torch.zeros(1, 8, 6, 6, dtype=torch.float64)
    above[:, 2] = 1 / 36
    arrived = nn.grad.conv2d_input(middle.shape, weights, above, 2, 1)
    handed = arrived.clamp(min=0) * ((middle > 0) if method is GuidedBackprop else 1)
    expected = nn.grad.conv2d_input(pixels.shape, network.one.weight, handed, 2, 1).abs().amax(1)
    torch.testing.assert_close(method(made)(image().double(), TARGETS[1:]), expected)


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvnet])
def test_called_activations_of_another_kind_and_none_are_refused(method):
    for smooth in (functional.gelu, functional.silu, functional.leaky_relu):
        with pytest.raises(ValueError, match=f"defined for no other kind; the network calls {smooth.__name__}"):
            method(classifier(Net(smooth)))(image(), TARGETS)
    with pytest.raises(ValueError, match="and the network has none"):
        method(classifier(Net(nn.Identity())))(image(), TARGETS)


@pytest.mark.parametrize("method", [GuidedBackprop, Deconvnet])
def test_densenets_last_relu_is_guided(method):
    torch.manual_seed(0)
    network = models.DenseNet(8, (2, 2), 8, num_classes=3)
    plain = method(Classifier(network, [0.5] * 3, [0.25] * 3, {}, list("abc"), side=64))
    features = nn.Sequential(*network.features, nn.ReLU())
    module = nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), network.classifier)
    expected = method(Classifier(module, [0.5] * 3, [0.25] * 3, {}, list("abc"), side=64))(image(64), TARGETS)
    torch.testing.assert_close(plain(image(64), TARGETS), expected)
