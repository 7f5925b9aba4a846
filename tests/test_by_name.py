"""Networks by name: what the library says about them, and the layers that the rule chooses, family by family."""

import pytest
import torch
from torch import nn

from eval.networks import imagenet
from eval.networks.classifier import Classifier
from eval.networks.preprocessing import described
from eval.running.build import build_classifier, build_network
from eval.running.config import load

NAMES = [f"class {i}" for i in range(1000)]
# The last stage, and the two before it; sides are small where the network allows, so that a forward pass is cheap.
FAMILIES = {
    ("torchvision", "resnet18", 64): ["layer4", "layer3", "layer2"],
    ("torchvision", "densenet121", 64): ["features.norm5", "features.denseblock3", "features.denseblock2"],
    ("torchvision", "efficientnet_b0", 64): ["features.8", "features.5", "features.3"],
    ("torchvision", "mobilenet_v3_small", 64): ["features.12", "features.8", "features.3"],
    ("torchvision", "squeezenet1_1", 64): ["features.12", "features.7", "features.4"],
    ("torchvision", "shufflenet_v2_x0_5", 64): ["conv5", "stage3", "stage2"],
    ("torchvision", "regnet_y_400mf", 64): ["trunk_output.block4", "trunk_output.block3", "trunk_output.block2"],
    ("torchvision", "convnext_tiny", 64): ["features.7", "features.5", "features.3"],
    ("torchvision", "inception_v3", 128): ["Mixed_7c", "Mixed_6e", "Mixed_5d"],
    ("torchvision", "swin_t", 64): ["features.7", "features.5", "features.3"],
    ("torchvision", "vit_b_32", 64): [f"encoder.layers.encoder_layer_{n}.ln_1" for n in (11, 7, 3)],
    ("timm", "deit_tiny_patch16_224", 64): [f"blocks.{n}.norm1" for n in (11, 7, 3)],
    ("timm", "vit_small_patch14_reg4_dinov2", 56): [f"blocks.{n}.norm1" for n in (11, 7, 3)],
    ("timm", "swin_tiny_patch4_window7_224", 224): ["layers.3", "layers.2", "layers.1"],
    ("timm", "convnext_atto", 64): ["stages.3", "stages.2", "stages.1"],
    ("timm", "resnet18", 64): ["layer4", "layer3", "layer2"],
}


def by_name(library, arch, side):
    if library == "timm":
        pytest.importorskip("timm", reason="timm is an extra: pip install -e '.[timm]'")
    named = [f"model={library}", f"model.arch={arch}", "model.pretrained=false", f"protocol.input.side={side}"]
    return load([*named, "device=cpu", *(["model.classes=1000"] if library == "timm" else [])])


@pytest.mark.parametrize(("library", "arch", "side"), FAMILIES, ids=[f"{a}-{b}" for a, b, _ in FAMILIES])
def test_layers_of_a_family(library, arch, side):
    made = build_network(by_name(library, arch, side), None)
    stages = FAMILIES[library, arch, side]
    assert made.layers["gpnncam"] == stages
    assert made.layers["cam"] == made.layers["relevance"] == stages[:1]
    assert made.layers["excitation"] == stages[1:2]
    assert any(stages[0] in note for note in made.notes), "the choice is printed"
    for name in stages:
        maps = made.reader(name)
        seen = []
        handle = made.module(name).register_forward_hook(
            lambda _m, _i, output, maps=maps, seen=seen: seen.append(maps(output))
        )
        with torch.no_grad():
            made.network(made.normalise(torch.rand(3, side, side)))
        handle.remove()
        assert seen[0].dim() == 4
        assert seen[0].shape[2] == seen[0].shape[3] >= 2


@pytest.mark.parametrize("arch", ["deit_tiny_patch16_224", "vit_small_patch14_reg4_dinov2"])
def test_tokens_are_read_where_their_patch_is(arch):
    """A change of one patch's pixels moves that cell alone, right behind the patches: rows are no columns."""
    side, cell = (64, 16) if "deit" in arch else (56, 14)
    made = build_network(by_name("timm", arch, side), None)
    name, seen = "blocks.0.norm1", []
    maps = made.reader(name)
    made.module(name).register_forward_hook(lambda _m, _i, output: seen.append(maps(output)[0].clone()))
    pixels = torch.rand(3, side, side, generator=torch.Generator().manual_seed(0))
    changed = pixels.clone()
    changed[:, cell : 2 * cell, 3 * cell : 4 * cell] = 1
    with torch.no_grad():
        made.network(made.normalise(pixels))
        made.network(made.normalise(changed))
    moved = (seen[0] - seen[1]).norm(dim=0)
    assert divmod(int(moved.argmax()), 4) == (1, 3)
    assert (moved > 1e-5).sum() == 1


def test_metadata_of_torchvision():
    cfg = load(["model=torchvision", "model.arch=inception_v3", "model.pretrained=false"])
    assert cfg.protocol.input.side == imagenet.side("inception_v3") == 299
    assert load(["model=torchvision", "model.arch=inception_v3", "protocol.input.side=128"]).protocol.input.side == 128
    assert (
        load(["model=torchvision", "model.arch=vit_b_16", "model.weights=IMAGENET1K_SWAG_E2E_V1"]).protocol.input.side
        == 384
    )
    known = described(imagenet.build("resnet18", pretrained=False))
    transforms = imagenet._weights("resnet18", "IMAGENET1K_V1").transforms()
    assert (known.library, known.mean, known.std) == ("torchvision", transforms.mean, transforms.std)
    assert described(nn.Sequential(nn.Conv2d(3, 3, 3))) is None


def test_random_weights_are_the_same_every_time():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, second = (imagenet.build("resnet18", pretrained=False, classes=7) for _ in range(2))
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert first.fc.out_features == 7


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["model=torchvision"], "model.arch=NAME"),
        (["model=torchvision", "model.arch=resnet19"], "near names: .*resnet18"),
        (["model=torchvision", "model.arch=resnet18", "model.weights=V9"], "no weights 'V9' for resnet18; it has"),
    ],
)
def test_what_cannot_be_meant_is_refused_while_the_config_is_read(settings, message):
    with pytest.raises(ValueError, match=message):
        load(settings)


def custom(target, *more):
    return load(["model=custom", f"model.build._target_={target}", "device=cpu", "protocol.input.side=64", *more])


def test_a_custom_network_of_a_library_needs_only_its_callable():
    made = build_classifier(custom("torchvision.models.resnet18", "+model.build.num_classes=1000"), NAMES)
    assert made.layers["cam"] == ["layer4"]
    assert made.layers["gpnncam"] == ["layer4", "layer3", "layer2"]
    assert made.normalisation["mean"] == [0.485, 0.456, 0.406]
    assert len(made.notes) == 2


def test_an_unknown_network_needs_its_normalisation_and_keeps_the_layers_that_are_named():
    with pytest.raises(ValueError, match=r"model.mean=\[R,G,B\]"):
        build_classifier(custom("tests.bad_input.tiny"), NAMES[:20])
    said = ["model.mean=[0.5,0.5,0.5]", "model.std=[0.2,0.2,0.2]", "model.layers.cam=['0']"]
    made = build_classifier(custom("tests.bad_input.tiny", *said), NAMES[:20])
    uses = ("cam", "gpnncam", "relevance", "excitation", "refine")
    assert dict(made.layers) == {use: ["0"] for use in uses}
    assert made.notes == []
    with pytest.raises(ValueError, match="no layer '9'; near names"):
        build_classifier(custom("tests.bad_input.tiny", *said[:2], "model.layers.cam=['9']"), NAMES[:20])


def test_a_network_without_maps_says_so():
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    made = Classifier(network, [0] * 3, [1] * 3, {}, list("abcd"), side=8)
    with pytest.raises(ValueError, match=r"model.layers.cam=\[NAME\]"):
        made.layers_by_rule()


def test_a_layer_that_runs_twice_is_not_chosen():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.act = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.ReLU()

        def forward(self, pixels):
            return self.act(self.second(self.act(self.first(pixels)))).mean((2, 3))

    made = Classifier(Shared(), [0] * 3, [1] * 3, {}, list("abcd"), side=32)
    assert made.layers_by_rule()["gpnncam"] == ["second", "first"]


def test_random_weights_depend_on_the_picture():
    """torchvision's vision transformers start with a head of zeros, which would make every map constant."""
    with torch.no_grad():
        answer = imagenet.build("vit_b_32", pretrained=False, side=32)(torch.rand(2, 3, 32, 32))
    assert (answer[0] != answer[1]).any()


def test_a_network_of_timm_gets_its_test_size_and_says_so():
    timm = pytest.importorskip("timm", reason="timm is an extra: pip install -e '.[timm]'")
    assert load(["model=timm", "model.arch=resnet50.tv2_in1k"]).protocol.input.side == 224
    assert load(["model=timm", "model.arch=vit_small_patch16_224"]).protocol.input.side == 224, "it has no test size"
    known = described(timm.create_model("resnet18.tv_in1k", pretrained=False))
    assert (known.side, known.trained) == (224, None)
    small = timm.create_model("resnet18.a1_in1k", pretrained=False)
    small.pretrained_cfg = small.pretrained_cfg | {"input_size": (3, 176, 176), "test_input_size": (3, 224, 224)}
    known = described(small)
    assert (known.side, known.trained) == (224, 176)
