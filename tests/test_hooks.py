"""Two packages hook layers, and neither imports the other: a wrong layer has one message from both."""

import pytest
import torch
from torch import nn

from baselines.cam import CAM
from eval.networks.classifier import Classifier
from gpnncam import GPNNCAM, wrap
from gpnncam.features import features
from tests.small_network import SIDE, image


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.once, self.twice, self.unused = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.pool, self.flat, self.head = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)

    def forward(self, pixels):
        return self.head(self.flat(self.pool(self.twice(self.twice(self.once(pixels))))))


def classifier(use):
    layers = {use: ["once"]} if use else {}
    return Classifier(Network(), [0.5] * 3, [0.25] * 3, layers, [f"c{i}" for i in range(5)])


def message(make, *arguments, **settings):
    with pytest.raises(ValueError, match="layer") as error:  # the messages are compared below
        make(*arguments, **settings)(image(), torch.tensor([0]))
    return str(error.value)


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (["nowhere"], "no layer 'nowhere'"),
        (["once", "once"], "a layer is named twice in once, once"),
        (["flat"], "layer 'flat' returns (1, 3), not feature maps (B,C,h,w)"),
        (["twice"], "layer 'twice' runs more than once in a forward pass, so its output is not one map"),
        (["unused"], "layer 'unused' takes no part in the network's forward pass"),
    ],
)
def test_a_wrong_layer_has_one_message(layers, said):
    baseline = message(CAM, classifier("cam"), layers=layers)
    ours = message(GPNNCAM, classifier("gpnncam"), n=2, source="none", layers=layers)
    assert ours.partition("; ")[0] == baseline.partition("; ")[0]
    assert said in baseline


def test_a_model_that_names_no_layers_has_one_message():
    baseline, ours = message(CAM, classifier(None)), message(GPNNCAM, classifier(None), source="none")
    assert ours.replace("gpnncam", "cam") == baseline
    assert "the model names none for 'cam', set method.build.layers" in baseline


def test_a_layer_without_maps_has_that_message_without_the_suite_too():
    """gpnncam's own classifier has no `reader` of the suite's kind, and its hook checks by itself."""
    net = Network()
    expected = f"layer 'flat' returns {(1, 3)}, not feature maps (B,C,h,w)"
    with pytest.raises(ValueError, match="flat") as error, features({"flat": net.flat}):
        net(image()[None])
    assert str(error.value) == expected
    wrapped = wrap(net, mean=[0.5] * 3, std=[0.25] * 3, layers=["flat"], side=SIDE)
    assert message(GPNNCAM, wrapped, source="none") == expected
