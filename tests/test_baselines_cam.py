"""The CAM formulas against second implementations in float64, and against pytorch-grad-cam where it is faithful."""

import copy

import cv2
import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn
from torch.nn import functional
from torchvision import models
from torchvision.models.resnet import Bottleneck

from baselines.ablation_cam import AblationCAM
from baselines.cam import CAM, GradCAMPlusPlus
from baselines.eigen_cam import EigenCAM
from baselines.layered import fuse
from baselines.score_cam import ScoreCAM
from baselines.taps import activations_and_gradients
from eval.networks.classifier import Classifier

TARGETS = torch.tensor([1, 3])


def network(seed=0):
    """A net with a head that is not linear, so that gradients differ between positions."""
    torch.manual_seed(seed)
    features = nn.Sequential(
        nn.Conv2d(3, 6, 3, stride=2, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 7, 3, padding=1),
        nn.BatchNorm2d(7),
        nn.ReLU(inplace=True),
    )
    head = nn.Sequential(
        nn.Conv2d(7, 8, 3, padding=1), nn.ReLU(inplace=True), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(120, 5)
    )
    return nn.Sequential(features, head).double()


def classifier_of(net, layers=("0.5",)):
    made = Classifier(net, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3], {"cam": list(layers)}, [str(i) for i in range(5)])
    made.mean, made.std = made.mean.double(), made.std.double()
    return made


@pytest.fixture
def net():
    return network()


@pytest.fixture
def image():
    return torch.rand(3, 24, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def by_autograd(net, image):
    """Activations (C,h,w), gradients (K,C,h,w) and scores (K,) by plain autograd on a copy of the network."""
    net = copy.deepcopy(net).eval()
    pixels = (image - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1).double()) / torch.tensor([0.2, 0.25, 0.3]).view(
        3, 1, 1
    ).double()
    activations = net[0](pixels[None]).detach().requires_grad_()
    scores = net[1](activations)[0]
    gradients = [torch.autograd.grad(scores[t], activations, retain_graph=True)[0][0] for t in TARGETS]
    return activations.detach()[0], torch.stack(gradients), scores.detach()[TARGETS], pixels


def close(actual, expected):
    # The classifier normalises with single-precision constants.
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-9)


def test_gradcam(net, image):
    activations, gradients, _, _ = by_autograd(net, image)
    expected = torch.stack([sum(g[c].mean() * activations[c] for c in range(7)) for g in gradients])
    assert (expected < 0).any()
    close(CAM(classifier_of(net))(image, TARGETS), expected)
    close(CAM(classifier_of(net), relu=True)(image, TARGETS), expected.clamp(min=0))


def test_gradcampp_as_the_authors(net, image):
    activations, gradients, scores, _ = by_autograd(net, image)
    expected = torch.zeros(2, *activations.shape[1:], dtype=torch.float64)
    for k in range(2):
        for c in range(7):
            first = scores[k].exp() * gradients[k, c]
            second = scores[k].exp() * gradients[k, c] ** 2
            third = scores[k].exp() * gradients[k, c] ** 3
            denominator = 2 * second + third * activations[c].sum()
            alpha = second / torch.where(denominator != 0, denominator, torch.ones_like(denominator))
            weights = first.clamp(min=0)
            mass = torch.where(weights > 0, alpha, torch.zeros_like(alpha)).sum()
            expected[k] += (weights * alpha / (mass if mass != 0 else 1)).sum() * activations[c]
        expected[k] /= scores[k].exp()
    close(GradCAMPlusPlus(classifier_of(net))(image, TARGETS), expected)


def test_layercam(net, image):
    activations, gradients, _, _ = by_autograd(net, image)
    expected = torch.stack([(g.clamp(min=0) * activations).sum(0) for g in gradients])
    close(CAM(classifier_of(net), "LayerCAM")(image, TARGETS), expected)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_scorecam_as_the_authors(net, image, kind):
    net[0][3].weight.data[2] = 0  # a channel that is the same everywhere: the authors skip it
    net[0][4].bias.data[2] = 0.7
    activations, _, _, pixels = by_autograd(net, image)
    assert (activations[2] > 0).all()
    expected = torch.zeros(2, *activations.shape[1:], dtype=torch.float64)
    for channel in activations:
        mask = functional.interpolate(channel[None, None], pixels.shape[1:], mode="bilinear", align_corners=False)
        if channel.max() == channel.min():
            continue
        mask = (mask - mask.min()) / (mask.max() - mask.min())
        logits = net.eval()(pixels[None] * mask)[0].detach()
        chance = logits.softmax(0) if kind == "softmax" else logits.sigmoid()
        for k, target in enumerate(TARGETS):
            expected[k] += chance[target] * channel
    for batch in (1, 4, 100):
        close(ScoreCAM(classifier_of(net), probability=kind, batch=batch)(image, TARGETS), expected)


def test_ablationcam(net, image):
    activations, _, scores, _ = by_autograd(net, image)
    expected = torch.zeros(2, *activations.shape[1:], dtype=torch.float64)
    for c in range(7):
        without = activations.clone()
        without[c] = 0
        dropped = net.eval()[1](without[None])[0].detach()[TARGETS]
        expected += ((scores - dropped) / scores)[:, None, None] * activations[c]
    close(AblationCAM(classifier_of(net), batch=3)(image, TARGETS), expected)


def test_ablationcam_in_a_shortcut(image):
    """There the other branch still holds one picture, and torchvision's `out += identity` cannot take many."""
    torch.manual_seed(3)
    net = models.ResNet(Bottleneck, [1, 1, 1, 1], num_classes=5).double()
    classifier = classifier_of(net, ["layer2.0.downsample"])
    output, shortcut = [], net.layer2[0].downsample
    for c in range(4):
        handle = shortcut.register_forward_hook(
            lambda _m, _i, out, c=c: out * (torch.arange(512) != c).double()[:, None, None]
        )
        output.append(net.eval()(classifier.normalise(image))[0])
        handle.remove()
    expected = torch.stack(output, 1)[TARGETS]
    before = classifier.images_seen
    close(AblationCAM(classifier).ablated(classifier.normalise(image), "layer2.0.downsample", 4, TARGETS), expected)
    assert classifier.images_seen >= before + 4  # what was ablated is counted: a pass of four is four


def test_ablations_are_counted_as_pictures(net, image):
    classifier = classifier_of(net)
    AblationCAM(classifier, batch=3)(image, TARGETS)
    assert classifier.images_seen == 1 + 7


def test_eigencam(net, image):
    activations, _, _, _ = by_autograd(net, image)
    flat = activations.flatten(1).T
    _, vectors = torch.linalg.eigh(flat.T @ flat)
    expected = (flat @ vectors[:, -1]).view(activations.shape[1:])
    expected = expected * expected.sum().sign()
    actual = EigenCAM(classifier_of(net))(image, TARGETS)
    close(actual, expected.expand(2, -1, -1))


def library(net, image, name, layer="0.5"):
    """pytorch-grad-cam's own answer (K,H,W), by its own forward and backward pass through an unfrozen copy."""
    net = copy.deepcopy(net).eval().requires_grad_(True).float()
    for module in net.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    pixels = (
        (image - torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1)) / torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    ).float()
    with getattr(pytorch_grad_cam, name)(net, [net.get_submodule(layer)]) as cam:
        return np.stack([cam(pixels[None], [ClassifierOutputTarget(int(target))])[0] for target in TARGETS])


def as_library(maps, image):
    """A raw map through the library's own end: rectified, scaled to [0,1], enlarged by OpenCV."""
    ended = []
    for heat in maps.float().numpy():
        heat = np.maximum(heat, 0)
        heat = (heat - heat.min()) / (1e-7 + (heat - heat.min()).max())
        ended.append(cv2.resize(heat, image.shape[:0:-1]))
    ended = np.stack(ended)
    low, high = ended.min((1, 2), keepdims=True), ended.max((1, 2), keepdims=True)
    return (ended - low) / (1e-7 + high - low)


VARIANTS = {
    "GradCAM": lambda c: CAM(c, "GradCAM"),
    "LayerCAM": lambda c: CAM(c, "LayerCAM"),
    "HiResCAM": lambda c: CAM(c, "HiResCAM"),
    "XGradCAM": lambda c: CAM(c, "XGradCAM"),
    "GradCAMElementWise": lambda c: CAM(c, "GradCAMElementWise"),
    "EigenGradCAM": lambda c: CAM(c, "EigenGradCAM"),
    "GradCAMPlusPlus": lambda c: GradCAMPlusPlus(c, normalise_alpha=False, epsilon=1e-6),
    "ScoreCAM": lambda c: ScoreCAM(c, weights="softmax_logits", skip_constant=False, align_corners=True),
    "AblationCAM": lambda c: AblationCAM(c, batch=2),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_librarys_map_comes_back_when_its_deviations_are_switched_on(net, image, name):
    expected = library(net, image, name)
    actual = as_library(VARIANTS[name](classifier_of(net))(image, TARGETS), image)
    assert expected.std() > 0.05
    np.testing.assert_allclose(actual, expected, atol=1e-5)
    for ours, theirs in zip(actual, expected, strict=True):
        assert np.unravel_index(ours.argmax(), ours.shape) == np.unravel_index(theirs.argmax(), theirs.shape)


def test_the_librarys_eigencam_up_to_its_sign(net, image):
    actual = EigenCAM(classifier_of(net), centre=True)(image, TARGETS)
    expected = library(net, image, "EigenCAM")
    errors = [np.abs(as_library(sign * actual, image) - expected).max() for sign in (1, -1)]
    assert min(errors) < 1e-5


def test_the_authors_gradcampp_differs_from_the_librarys(net, image):
    classifier = classifier_of(net)
    authors = GradCAMPlusPlus(classifier)(image, TARGETS)
    variant = GradCAMPlusPlus(classifier, normalise_alpha=False, epsilon=1e-6)(image, TARGETS)
    shape = [m / m.amax((1, 2), keepdim=True) for m in (authors, variant)]
    assert (shape[0] - shape[1]).abs().max() > 0.01


def test_a_map_without_positive_values_still_tells_positions_apart(net, image):
    """The library turns it into zeros, whose highest point would be the corner."""
    net[1][4].weight.data.abs_().neg_()
    net[1][0].weight.data.abs_()
    actual = CAM(classifier_of(net))(image, TARGETS)
    assert (actual < 0).all()
    assert actual.std() > 0
    assert (library(net, image, "GradCAM") == 0).all()


def test_layer_before_an_addition_in_place_is_not_overwritten(image):
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, tensor):
            out = self.conv(tensor)
            out += 100
            return out

    net = nn.Sequential(Block(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)).double()
    classifier = classifier_of(net, ["0.conv"])
    ((activations, _),) = activations_and_gradients(classifier, image, TARGETS, ["0.conv"])
    close(activations, net[0].conv(classifier.normalise(image)))
    # The masks of ScoreCAM and the channels of AblationCAM come from the same tap.
    weights = torch.stack([net[3].weight[t] for t in TARGETS]) / (24 * 40)
    close(CAM(classifier)(image, TARGETS), torch.einsum("kc,chw->khw", weights, activations[0]))


def test_several_layers():
    coarse = torch.tensor([[[1.0, -4.0], [2.0, 0.0]]])
    fine = torch.zeros(1, 4, 4)
    fine[0, 3, 3] = 5
    assert torch.equal(fuse([coarse], "maximum", 2.0), coarse)
    enlarged = functional.interpolate(coarse.clamp(min=0)[None] / 2, (4, 4), mode="bilinear")[0]
    torch.testing.assert_close(fuse([coarse, fine], "maximum", None), torch.maximum(enlarged, fine / 5))
    torch.testing.assert_close(fuse([fine, coarse], "mean", None), (enlarged + fine / 5) / 2)
    scaled = functional.interpolate(torch.tanh(2 * coarse.clamp(min=0)[None] / 2), (4, 4), mode="bilinear")[0]
    torch.testing.assert_close(fuse([coarse, fine], "maximum", 2.0), torch.maximum(scaled, torch.tanh(2 * fine / 5)))
    assert (fuse([-fine, -coarse.abs()], "maximum", None) == 0).all()


def test_several_layers_of_a_network_are_read_in_one_pass(net, image):
    classifier = classifier_of(net)
    alone = [CAM(classifier, "LayerCAM", layers=name)(image, TARGETS) for name in ("0.2", "0.5")]
    before = classifier.images_seen
    both = CAM(classifier, "LayerCAM", layers=["0.2", "0.5"])(image, TARGETS)
    assert classifier.images_seen == before + 1
    close(both, fuse(alone, "maximum", None))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layers": "0.9"}, "no layer '0.9'"),
        ({"layers": []}, "no layers given"),
        ({"layers": ["0.5", "0.5"]}, "named twice"),
        ({"formula": "GradCam"}, "is none of GradCAM"),
        ({"fusion": "max"}, "'max' is none of maximum, mean"),
    ],
)
def test_settings_that_make_no_sense(net, settings, message):
    with pytest.raises(ValueError, match=message):
        CAM(classifier_of(net), **settings)


def test_layers_without_maps(net, image):
    with pytest.raises(ValueError, match=r"'1\.3' returns .*not feature maps"):
        CAM(classifier_of(net), layers="1.3")
    twice = nn.Sequential(net[0], net[1])
    twice[0].append(twice[0][5])
    with pytest.raises(ValueError, match=r"'0\.5' runs more than once"):
        CAM(classifier_of(twice))(image, TARGETS)
    partly = nn.Sequential(nn.Conv2d(3, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()).double()
    partly.forward = lambda pixels: partly[2](partly[1](partly[0](pixels)))
    partly.add_module("unused", nn.Conv2d(3, 3, 1))
    with pytest.raises(ValueError, match="'unused' takes no part"):
        CAM(classifier_of(partly, ["0"]), layers="unused")
