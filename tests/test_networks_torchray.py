"""TorchRay's networks against a plain forward pass that is written from Caffe's nets, not from the loader."""

import math
import re

import pytest
import torch
import torch.nn.functional as F

from eval.networks import torchray
from eval.networks.classifier import Classifier

MEAN, STD = [123.68 / 255, 116.779 / 255, 103.939 / 255], [1 / 255] * 3
VGG = [(0, 64), (2, 64), "pool", (5, 128), (7, 128), "pool", (10, 256), (12, 256), (14, 256), "pool",
       (17, 512), (19, 512), (21, 512), "pool", (24, 512), (26, 512), (28, 512), "pool"]  # fmt: skip
SIZES = [(224, 224), (224, 297), (297, 224)]


def random_weight(generator, *shape):
    fan_in = math.prod(shape[1:])
    return torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5


def vgg_checkpoint(count=20):
    """Random weights under the names and in the shapes of TorchRay's file: BGR, convolutional classifier 0, 2, 4."""
    generator, state, channels = torch.Generator().manual_seed(0), {}, 3
    for layer in VGG:
        if layer != "pool":
            state[f"features.{layer[0]}.weight"] = random_weight(generator, layer[1], channels, 3, 3)
            state[f"features.{layer[0]}.bias"] = torch.randn(layer[1], generator=generator) * 0.1
            channels = layer[1]
    # Overlapping views: 100 million weights, each row another, in a file of a few kilobytes.
    first = torch.randn(4096 + 512 * 49, generator=generator) * 0.01
    state["classifier.0.weight"] = first.as_strided((4096, 512, 7, 7), (1, 49, 7, 1))
    state["classifier.0.bias"] = torch.randn(4096, generator=generator) * 0.1
    second = torch.randn(2 * 4096, generator=generator) * 0.02
    state["classifier.2.weight"] = second.as_strided((4096, 4096, 1, 1), (1, 1, 1, 1))
    state["classifier.2.bias"] = torch.randn(4096, generator=generator) * 0.1
    state["classifier.4.weight"] = random_weight(generator, count, 4096, 1, 1)
    state["classifier.4.bias"] = torch.randn(count, generator=generator) * 0.1
    return state


def vgg_forward(state, rgb):
    """Scores (1,C,i,j) of normalised RGB (1,3,h,w)."""
    x = rgb.flip(1)  # the file's first convolution reads BGR
    for layer in VGG:
        if layer == "pool":
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        else:
            x = F.relu(F.conv2d(x, state[f"features.{layer[0]}.weight"], state[f"features.{layer[0]}.bias"], padding=1))
    x = F.relu(F.conv2d(x, state["classifier.0.weight"], state["classifier.0.bias"]))
    x = F.relu(F.conv2d(x, state["classifier.2.weight"], state["classifier.2.bias"]))
    return F.conv2d(x, state["classifier.4.weight"], state["classifier.4.bias"])


def resnet_checkpoint(count=20):
    """Random weights under TorchRay's names: batch norms split in .0 (mean, variance) and .1 (scale, shift)."""
    generator, state = torch.Generator().manual_seed(1), {}

    def norm(name, channels, stem="{}.0", second="{}.1"):
        state[stem.format(name) + ".running_mean"] = torch.randn(channels, generator=generator) * 0.1
        state[stem.format(name) + ".running_var"] = torch.rand(channels, generator=generator) + 0.5
        state[second.format(name) + ".weight"] = torch.rand(channels, generator=generator) * 0.5 + 0.2
        state[second.format(name) + ".bias"] = torch.randn(channels, generator=generator) * 0.1

    state["conv1.weight"] = random_weight(generator, 64, 3, 7, 7)
    state["conv1.bias"] = torch.randn(64, generator=generator) * 0.1
    norm("bn1", 64)
    channels = 64
    for stage, (width, blocks) in enumerate([(64, 3), (128, 4), (256, 6), (512, 3)], 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            for number, (out, inputs, side) in enumerate(
                [(width, channels, 1), (width, width, 3), (4 * width, width, 1)], 1
            ):
                state[f"{name}.conv{number}.weight"] = random_weight(generator, out, inputs, side, side)
                norm(f"{name}.bn{number}", out)
            if block == 0:
                state[f"{name}.downsample.0.weight"] = random_weight(generator, 4 * width, channels, 1, 1)
                norm(f"{name}.downsample.1", 4 * width)
            channels = 4 * width
    state["fc.weight"] = random_weight(generator, count, 2048)
    state["fc.bias"] = torch.randn(count, generator=generator) * 0.1
    return state


def resnet_forward(state, rgb):
    """Scores (1,C,i,j) of normalised RGB (1,3,h,w)."""

    def norm(x, name):
        mean, variance = state[f"{name}.0.running_mean"], state[f"{name}.0.running_var"]
        scale, shift = state[f"{name}.1.weight"], state[f"{name}.1.bias"]
        x = (x - mean.view(1, -1, 1, 1)) / (variance.view(1, -1, 1, 1) + 1e-5).sqrt()
        return x * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)

    x = F.conv2d(rgb.flip(1), state["conv1.weight"], state["conv1.bias"], stride=2, padding=3)
    x = F.max_pool2d(F.relu(norm(x, "bn1")), 3, 2, ceil_mode=True)
    for stage, blocks in enumerate([3, 4, 6, 3], 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            stride = 2 if block == 0 and stage > 1 else 1
            y = F.relu(norm(F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride), f"{name}.bn1"))
            y = F.relu(norm(F.conv2d(y, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2"))
            y = norm(F.conv2d(y, state[f"{name}.conv3.weight"]), f"{name}.bn3")
            if block == 0:
                x = norm(F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            x = F.relu(x + y)
    x = F.avg_pool2d(x, 7, 1)
    return F.conv2d(x, state["fc.weight"][:, :, None, None], state["fc.bias"])


@pytest.fixture(scope="module")
def vgg(tmp_path_factory):
    path, state = tmp_path_factory.mktemp("weights") / "vgg16_voc.pth.tar", vgg_checkpoint()
    torch.save(state, path)
    return path, state


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    path, state = tmp_path_factory.mktemp("weights") / "resnet50_voc.pth.tar", resnet_checkpoint()
    torch.save(state, path)
    return path, state


def picture(height, width):
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(height * width)) * 255 - 110


def same(actual, expected):
    scale = expected.abs().max()
    return actual.shape == expected.shape and float((actual - expected).abs().max() / scale) < 1e-4


@torch.no_grad()
def test_vgg16_is_caffes(vgg):
    path, state = vgg
    network = torchray.vgg16("voc", spatial=True, checkpoint=path)
    square, wide = (vgg_forward(state, picture(height, width)) for height, width in SIZES[:2])
    # 297 pixels are 9.28 cells: with floored pools the map would be 9 wide, with Caffe's it is 10.
    assert (square.shape[2:], wide.shape[2:]) == ((1, 1), (1, 4))
    assert same(network(picture(224, 224)), square)
    assert same(network(picture(224, 297)), wide)
    assert all(isinstance(network.get_submodule(f"features.{i}"), torch.nn.MaxPool2d) for i in (30, 23, 16))
    plain = torchray.vgg16("voc", spatial=False, checkpoint=path)
    assert same(plain(picture(224, 224)), square[:, :, 0, 0])


@torch.no_grad()
def test_resnet50_is_caffes(resnet):
    path, state = resnet
    network = torchray.resnet50("voc", spatial=True, checkpoint=path)
    for height, width in SIZES:
        expected = resnet_forward(state, picture(height, width))
        assert expected.shape[2:] == (1 + (height > 224) * 3, 1 + (width > 224) * 3)
        assert same(network(picture(height, width)), expected)
    plain = torchray.resnet50("voc", spatial=False, checkpoint=path)
    assert same(plain(picture(224, 224)), resnet_forward(state, picture(224, 224))[:, :, 0, 0])


def test_the_backward_signal_is_the_softmax_over_positions(resnet):
    network = torchray.resnet50("voc", spatial=True, checkpoint=resnet[0])
    assert {"layer4", "layer3", "layer2"} <= set(dict(network.named_modules()))
    classes = [str(i) for i in range(20)]
    classifier = Classifier(network, MEAN, STD, {"cam": ["layer4"]}, classes)
    output = network(picture(224, 297)).detach().requires_grad_()
    classifier.score(output, 3).sum().backward()
    weights = output.detach()[0, 3].exp() / output.detach()[0, 3].exp().sum()
    assert torch.allclose(output.grad[0, 3], weights, atol=1e-6)
    assert output.grad[0, [c for c in range(20) if c != 3]].abs().max() == 0


def test_a_checkpoint_of_another_data_set_is_named(resnet, vgg):
    with pytest.raises(ValueError, match=r"resnet50_voc.pth.tar has 20 classes .*, this network has 80"):
        torchray.resnet50("coco", False, resnet[0])
    with pytest.raises(ValueError, match=r"has 20 classes .*, this network has 80"):
        torchray.vgg16("coco", True, vgg[0])


def test_a_checkpoint_of_another_network_is_named(resnet, vgg, tmp_path):
    with pytest.raises(ValueError, match=r"resnet50_voc.*no 3-channel features.0.weight"):
        torchray.vgg16("voc", False, resnet[0])
    with pytest.raises(ValueError, match=r"vgg16_voc.*no 3-channel conv1.weight"):
        torchray.resnet50("voc", False, vgg[0])
    half = {k: v for k, v in resnet[1].items() if not k.startswith("layer3")}
    torch.save(half | {"bn1.1.weight": torch.ones(32), "strange": torch.ones(1)}, tmp_path / "half.pth")
    with pytest.raises(
        ValueError, match=r"half.pth does not fit.*bn1.weight is 32 instead of 64.*layer3.*strange is unex"
    ):
        torchray.resnet50("voc", False, tmp_path / "half.pth")
    torch.save(resnet[1] | {"bn1.0.weight": torch.ones(64)}, tmp_path / "twice.pth")
    with pytest.raises(ValueError, match=r"two entries are called bn1\.weight"):
        torchray.resnet50("voc", False, tmp_path / "twice.pth")


@pytest.mark.parametrize(("classes", "named"), [("voc", True), ("coco", False)])
def test_without_the_weights_the_message_names_a_voc_network_of_pip(monkeypatch, classes, named):
    def offline(url):
        raise RuntimeError(f"{url} cannot be read. Weights that you have: model.checkpoint=FILE")

    monkeypatch.setattr(torchray, "fetch", offline)
    with pytest.raises(RuntimeError, match=r"model\.checkpoint=FILE") as caught:
        torchray.resnet50(classes)
    assert str(caught.value).endswith("model=efficientnet_lite0_voc") is named


def test_unknown_classes_are_refused():
    with pytest.raises(ValueError, match="voc and coco, not for 'imagenet'"):
        torchray.vgg16("imagenet")


def test_the_published_files_carry_their_hash():
    for (network, classes), url in torchray.URLS.items():
        assert re.fullmatch(rf"https://.*/{network}_{classes}-[0-9a-f]{{8}}\.pth\.tar", url)
