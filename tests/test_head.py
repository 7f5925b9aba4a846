"""A linear head in place of a network's last layer: where it goes, what it computes, what is refused."""

import importlib.util
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from eval.datasets.voc import CLASSES
from eval.networks.head import last_layer, pooled, with_head
from eval.running.build import build_classifier
from eval.running.config import load

HEADS = Path(__file__).parents[1] / "eval" / "networks" / "heads"
LITE = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite_pytorch") is None, reason="an extra: pip install -e '.[real]'"
)


def trunk():
    return [nn.Conv2d(3, 6, 3, stride=4), nn.ReLU()]


def linear():
    return nn.Sequential(*trunk(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(6, 9))


def convolution():
    """SqueezeNet's end: its logits are rectified, then averaged."""
    return nn.Sequential(*trunk(), nn.Conv2d(6, 9, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def head(path, weight=None, bias=None, classes="a,b"):
    torch.manual_seed(1)
    tensors = {"weight": torch.randn(2, 6) if weight is None else weight, "bias": torch.tensor([0.5, -2.0])}
    save_file(tensors | ({} if bias is None else {"bias": bias}), path, {"classes": classes})
    return tensors


@pytest.mark.parametrize(("make", "layer"), [(linear, "5"), (convolution, "2")])
def test_the_network_answers_with_the_head_on_its_pooled_features(tmp_path, make, layer):
    torch.manual_seed(0)
    network, pixels = make().eval(), torch.rand(3, 3, 40, 40)
    tensors = head(tmp_path / "h.safetensors")
    expected = network[1](network[0](pixels)).mean((2, 3)) @ tensors["weight"].T + tensors["bias"]
    made, classes = with_head(network, tmp_path / "h.safetensors", 40)
    assert classes == ["a", "b"]
    assert (expected < 0).any(), "what a ReLU would have hidden"
    torch.testing.assert_close(made(pixels), expected)
    with pooled(made, layer) as seen:
        made(pixels)
        torch.testing.assert_close(seen(), network[1](network[0](pixels)).mean((2, 3)))


class Behind(nn.Module):
    """Its answer is not its last layer's, which no module shows."""

    def __init__(self):
        super().__init__()
        self.inner = linear()

    def forward(self, pixels):
        return -self.inner(pixels)


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (Behind(), "does not end in its last linear layer 'inner.5'"),
        (nn.Sequential(*linear(), nn.BatchNorm1d(9)), "has '6', BatchNorm1d"),
        (nn.Sequential(*linear(), nn.Sigmoid()), "has '6', Sigmoid"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten()), "it has none"),
    ],
)
def test_where_a_head_cannot_speak_last_it_is_refused(network, why):
    with pytest.raises(ValueError, match=why):
        last_layer(network.eval(), 40)


def test_files_that_are_no_head_of_this_network(tmp_path):
    path = tmp_path / "h.safetensors"
    head(path, torch.randn(2, 7))
    with pytest.raises(ValueError, match="reads 7 features, this network's last layer 6"):
        with_head(linear(), path, 40)
    head(path, classes="a,b,c")
    with pytest.raises(ValueError, match=r"metadata name 3 classes, its bias has shape \(2,\)"):
        with_head(linear(), path, 40)
    head(path, torch.full((2, 6), torch.nan))
    with pytest.raises(ValueError, match="NaN"):
        with_head(linear(), path, 40)
    save_file({"weight": torch.zeros(2, 6)}, path, {"classes": "a,b"})
    with pytest.raises(ValueError, match="is no head"):
        with_head(linear(), path, 40)
    torch.save({"weight": torch.zeros(2, 6), "bias": torch.zeros(2)}, tmp_path / "h.pt")
    with pytest.raises(ValueError, match="is no head"):
        with_head(linear(), tmp_path / "h.pt", 40)


def test_a_head_answers_about_its_own_classes_alone(tmp_path):
    """The built-in scenes have twenty classes too: equal counts are no agreement."""
    weight = torch.zeros(20, 512)
    head(tmp_path / "h.safetensors", weight, torch.arange(20.0), ",".join(CLASSES))
    settings = ["model=resnet50", "device=cpu", f"+model.head={tmp_path / 'h.safetensors'}"]
    made = build_classifier(load(settings), CLASSES)
    with torch.no_grad():
        torch.testing.assert_close(made.network(torch.rand(1, 3, 224, 224))[0], torch.arange(20.0))
    with pytest.raises(ValueError, match=r"answers about aeroplane, bicycle.*model\.class_map=FILE"):
        build_classifier(load(settings), CLASSES[::-1])


@LITE
@pytest.mark.parametrize("path", sorted(HEADS.glob("*.safetensors")), ids=lambda path: path.stem)
def test_the_committed_heads_are_what_their_names_say(path):
    assert path.stat().st_size <= 200_000
    with safe_open(path, "pt") as opened:
        known = opened.metadata()
    assert float(known["val_map"]) > 0.8
    assert float(known["test_map"]) > 0.8
    assert {"data", "split", "seed", "penalty", "versions", "commit", "rule", "command"} <= set(known)
    cfg = load([f"model={path.stem}", "dataset=pascal", "device=cpu"])
    assert known["input"] == f"squash, side {cfg.protocol.input.side}"
    classifier = build_classifier(cfg, CLASSES)
    assert classifier.outputs == [[index] for index in range(20)]
    assert len(classifier.layers["gpnncam"]) == 3


def test_there_is_a_head_for_each_of_its_models():
    models = {path.stem for path in (HEADS.parents[2] / "conf" / "model").glob("*_voc.yaml")}
    assert models == {path.stem for path in HEADS.glob("*.safetensors")} != set()
