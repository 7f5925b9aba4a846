"""The built-in data's networks have the anatomy of the paper's."""

import numpy as np
import pytest
import torch
from torch import nn
from torchvision import models

from eval.networks import demo as networks

BUILD = {"vgg16": networks.vgg16, "resnet50": networks.resnet50}


@pytest.mark.parametrize("name", BUILD)
def test_the_modules_are_torchvisions(name):
    """Same names, kinds, kernels and strides, so that a layer's name means the same layer of the paper's network."""
    ours = BUILD[name](pretrained=False)
    with torch.device("meta"):
        theirs = getattr(models, name)(num_classes=20)
    ours, theirs = dict(ours.named_modules()), dict(theirs.named_modules())
    assert list(ours) == list(theirs)
    for path, module in list(ours.items())[1:]:
        assert type(module).__name__ == type(theirs[path]).__name__, path
        for setting in ("kernel_size", "stride", "padding", "ceil_mode", "output_size"):
            if hasattr(theirs[path], setting):
                one, other = getattr(module, setting), getattr(theirs[path], setting)
                assert np.array_equal(np.broadcast_to(one, 2), np.broadcast_to(other, 2)), (path, setting)


@pytest.mark.parametrize("name", BUILD)
def test_layers_that_methods_read(name):
    network = BUILD[name](pretrained=False)
    assert not network.training
    assert not any(getattr(module, "inplace", False) for module in network.modules())
    deep = {
        "vgg16": {"features.29": 14, "features.30": 7, "features.23": 14, "features.16": 28},
        "resnet50": {"layer4": 7, "layer3": 14, "layer2": 28},
    }[name]
    seen = {}
    for layer in deep:
        network.get_submodule(layer).register_forward_hook(lambda _m, _i, out, layer=layer: seen.update({layer: out}))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, 224, 224)).shape == (1, 20)
    assert {layer: out.shape[-1] for layer, out in seen.items()} == deep


def test_folding_batch_norm_keeps_the_function():
    torch.manual_seed(0)
    network = networks.VGG16(batch_norm=True)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.running_var):
                tensor.uniform_(0.5, 2)
            for tensor in (module.bias.data, module.running_mean):
                tensor.normal_()
    network.eval()
    pixels = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(network.folded()(pixels), network(pixels), rtol=1e-3, atol=1e-4)


def test_random_weights_need_no_file(monkeypatch, tmp_path):
    monkeypatch.setattr(networks, "weights", lambda name: tmp_path / f"{name}.safetensors")
    networks.resnet50(pretrained=False)
    with pytest.raises(FileNotFoundError, match=r"resnet50\.safetensors"):
        networks.resnet50()
