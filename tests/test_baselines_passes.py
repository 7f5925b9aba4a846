"""Batches by the largest activation, and what a network computes before a layer handed out again."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from baselines.ablation_cam import AblationCAM
from baselines.batches import Passes
from baselines.replay import finished_before, replayed
from eval.networks.classifier import Classifier
from gpnncam import batch_size


class Net(nn.Module):
    """A trunk with a shortcut and a shared activation; counts how often its trunk computes."""

    def __init__(self, impure: bool = False):
        super().__init__()
        self.first, self.second, self.last = (nn.Conv2d(a, 4, 3, padding=1) for a in (3, 4, 4))
        self.act, self.head, self.impure = nn.ReLU(), nn.Linear(4, 3), impure
        self.computed = 0
        compute = self.first.forward

        def counted(x):
            self.computed += len(x)
            y = compute(x)
            if self.impure:
                x += 1  # whoever replays the output leaves this out
            return y

        self.counted = counted

    def forward(self, x):
        x = x.clone()
        vars(self.first)["forward"] = vars(self.first).get("forward", self.counted)
        y = self.act(self.first(x))
        z = self.second(y)
        z += y
        return self.head(self.act(self.last(z) + x.mean()).mean((2, 3)))


def seeded(**settings) -> Net:
    torch.manual_seed(0)
    return Net(**settings).eval().requires_grad_(False)


def test_what_is_before_a_layer_is_computed_once_and_returned_equal():
    net, pixels = seeded(), torch.rand(1, 3, 8, 8)
    whole = net(pixels)
    known = finished_before(net, net.last, lambda: net(pixels))
    assert set(known) == {net.first, net.second, net.last}, "the shared activation runs behind the layer too"
    before, forward = net.computed, vars(net.first)["forward"]
    with replayed(known):
        for _ in range(2):  # `z += y` overwrites what `second` returned
            torch.testing.assert_close(net(pixels), whole)
    assert net.computed == before
    assert vars(net.first)["forward"] is forward
    assert "forward" not in vars(net.second)
    torch.testing.assert_close(net(2 * pixels), seeded()(2 * pixels))


def test_a_module_that_does_more_than_return_is_not_replayed():
    net, pixels = seeded(impure=True), torch.rand(1, 3, 8, 8)
    assert finished_before(net, net.last, lambda: net(pixels)) == {}


def test_replaying_ends_with_an_error():
    net, pixels = seeded(), torch.rand(1, 3, 8, 8)
    known = finished_before(net, net.last, lambda: net(pixels))
    with pytest.raises(KeyError), replayed(known):
        raise KeyError
    assert "forward" not in vars(net.last)


@pytest.mark.parametrize("layer", ["first", "second", "last"])
@pytest.mark.parametrize("batch", [1, 3, 64])
def test_ablations_are_those_of_whole_passes(layer, batch):
    net, image = seeded(), torch.rand(3, 8, 8)
    classifier = Classifier(net, [0.5] * 3, [0.5] * 3, {"cam": [layer]}, ["a", "b", "c"], side=8)
    pixels = classifier.normalise(image)
    found = AblationCAM(classifier, batch=batch).ablated(pixels, layer, 4, torch.tensor([0, 2]))
    for channel in range(4):

        def zero(_module, _inputs, output, channel=channel):
            output[:, channel] = 0
            return output

        handle = getattr(net, layer).register_forward_hook(zero)
        expected = net(pixels)[0, [0, 2]]
        handle.remove()
        torch.testing.assert_close(found[:, channel], expected)


def sizes(passes: Passes, count: int, pixels: torch.Tensor) -> list[int]:
    found = []
    for rows in passes.parts(torch.arange(count), pixels):
        found.append(len(rows))
        passes(pixels.expand(len(rows), -1, -1, -1))
    return found


def test_the_largest_activation_decides_how_many_pass(monkeypatch):
    classifier = SimpleNamespace(network=seeded(), images_seen=0)
    largest = 4 * 8 * 8 * 4  # bytes of four channels of 8 x 8
    monkeypatch.setattr(batch_size, "ROOM", 3 * largest + 1)
    pixels = torch.rand(1, 3, 8, 8)
    passes = Passes(classifier, None, most=16)
    assert sizes(passes, 9, pixels) == [1, 3, 3, 2]
    assert sizes(passes, 9, pixels) == [1, 3, 3, 2], "equal calls have equal passes"
    assert sizes(passes, 3, torch.rand(1, 3, 16, 16)) == [1, 1, 1]
    assert sizes(Passes(classifier, None, most=2), 5, pixels) == [1, 2, 2]
    assert sizes(Passes(classifier, 4, most=2), 9, pixels) == [4, 4, 1]
    assert not any(module._forward_hooks for module in classifier.network.modules())
    with pytest.raises(ValueError, match="batch"):
        Passes(classifier, 0, most=2)


def test_the_pass_that_finds_the_batch_out_is_counted_nowhere():
    net = seeded()
    classifier = Classifier(net, [0.5] * 3, [0.5] * 3, {"cam": ["last"]}, ["a", "b", "c"], side=8)
    seen = classifier.images_seen
    assert Passes(classifier, None, most=16).at_once(torch.rand(1, 3, 8, 8)) == 16
    assert classifier.images_seen == seen
