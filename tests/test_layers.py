"""Which layers methods read where nobody names any: one rule behind `wrap`, `run.py` and `scripts.layers`."""

import pytest
import torch
import yaml
from torch import nn
from torchvision import models

from eval.files.places import CONF
from eval.networks.classifier import Classifier
from eval.running.build import build_network
from eval.running.config import load
from gpnncam import wrap
from gpnncam.layers import layers_by_rule
from gpnncam.reading import Reading

# One network of each family of torchvision; every one with its three deepest stages.
STAGES = {
    "alexnet": ["features.12", "features.5", "features.2"],
    "convnext_tiny": ["features.7", "features.5", "features.3"],
    "densenet121": ["features.norm5", "features.denseblock3", "features.denseblock2"],
    "efficientnet_b0": ["features.8", "features.5", "features.3"],
    "efficientnet_v2_s": ["features.7", "features.5", "features.3"],
    "googlenet": ["inception5b", "inception4e", "inception3b"],
    "inception_v3": ["Mixed_7c", "Mixed_6e", "Mixed_5d"],
    "maxvit_t": ["blocks.3", "blocks.2", "blocks.1"],
    "mnasnet0_5": ["layers.16", "layers.11", "layers.9"],
    "mobilenet_v2": ["features.18", "features.13", "features.6"],
    "mobilenet_v3_large": ["features.16", "features.12", "features.6"],
    "regnet_y_400mf": ["trunk_output.block4", "trunk_output.block3", "trunk_output.block2"],
    "resnet18": ["layer4", "layer3", "layer2"],
    "resnet50": ["layer4", "layer3", "layer2"],
    "shufflenet_v2_x0_5": ["conv5", "stage3", "stage2"],
    "squeezenet1_1": ["features.12", "features.7", "features.4"],
    "swin_t": ["features.7", "features.5", "features.3"],
    "swin_v2_t": ["features.7", "features.5", "features.3"],
    "vgg11_bn": ["features.26", "features.19", "features.12"],
    "vgg16": ["features.30", "features.23", "features.16"],
    "vgg16_bn": ["features.41", "features.31", "features.21"],
    "vit_b_16": [f"encoder.layers.encoder_layer_{n}.ln_1" for n in (11, 7, 3)],
}
# What the paper names, and TorchRay for GradCAM and excitation backprop: the settings of conf/model.
PAPER = {"resnet50": "resnet50", "vgg16": "vgg16_plain", "vgg16_bn": "vgg16_bn"}


def on_meta(arch):
    """A network without values: shapes alone decide. RegNet needs the values that it starts from."""
    extra = {"init_weights": False} if arch in ("googlenet", "inception_v3") else {}
    with torch.device("cpu" if arch.startswith("regnet") else "meta"):
        return models.get_model(arch, weights=None, **extra).eval()


@pytest.mark.parametrize("arch", STAGES)
def test_every_family_of_torchvision_by_the_rule(arch):
    with torch.device("cpu" if arch.startswith("regnet") else "meta"):
        uses = layers_by_rule(Reading(on_meta(arch), lambda height, width: torch.zeros(1, 3, height, width), 224))
    assert uses["gpnncam"] == STAGES[arch]
    if arch in PAPER:
        named = yaml.safe_load((CONF / "model" / f"{PAPER[arch]}.yaml").read_text())["variants"]["imagenet"]["layers"]
        assert uses == named


def test_the_families_are_all_of_torchvision():
    homes = {models.get_model_builder(arch).__module__ for arch in models.list_models(module=models)}
    assert {models.get_model_builder(arch).__module__ for arch in STAGES} == homes


@pytest.mark.parametrize("arch", ["resnet18", "swin_t", "vit_b_32", "squeezenet1_1"])
def test_both_doors_answer_alike(arch):
    settings = ["model=torchvision", f"model.arch={arch}", "model.pretrained=false", "protocol.input.side=64"]
    suites = build_network(load([*settings, "device=cpu"]), None)
    wrapped = wrap(suites.network, side=64)
    assert wrapped.layers == dict(suites.layers)
    for name in wrapped.layers["gpnncam"]:
        output = torch.rand(suites.reading.observed().returned[name])
        assert torch.equal(wrapped.reader(name)(output), suites.reader(name)(output))


@pytest.mark.parametrize("variant", ["demo", "voc", "coco"])
@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_the_suites_own_networks_name_what_the_rule_finds(name, variant):
    named = yaml.safe_load((CONF / "model" / f"{name}.yaml").read_text())["variants"]
    assert named[variant]["layers"] == named["imagenet" if name == "resnet50" else "demo"]["layers"]
    if variant == "demo":
        made = build_network(load([f"model={name}", "dataset=demo", "device=cpu"]), None)
        assert made.layers_by_rule() == named[variant]["layers"]


def reading(network, side=64):
    made = Classifier(network, [0.5] * 3, [0.5] * 3, {}, (), outputs=[], side=side)
    return made


def test_a_network_inside_a_module_of_ones_own():
    class Mine(nn.Module):
        def __init__(self):
            super().__init__()
            self.backbone = models.resnet18(weights=None)

        def forward(self, x):
            return self.backbone(x)

    assert reading(Mine()).layers_by_rule()["gpnncam"][0] == "backbone.layer4"


def test_maps_of_scores_are_no_stage_and_as_many_channels_as_classes_are():
    trunk = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 4, 3, 2, 1), nn.ReLU())
    fully = nn.Sequential(*trunk, nn.Conv2d(4, 5, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert reading(fully).layers_by_rule()["cam"] == ["3"]
    headed = nn.Sequential(*trunk, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    assert reading(headed).layers_by_rule()["cam"] == ["3"], "four channels, four classes, and weights behind them"
    alone = nn.Sequential(nn.Conv2d(3, 5, 8, 8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert reading(alone).layers_by_rule()["cam"] == ["1"], "a network that is nothing else"
