"""The other methods of pytorch-grad-cam: the papers' formulas a second time, and the library's variants beside it."""

import copy

import numpy as np
import pytest
import pytorch_grad_cam
import torch
from pytorch_grad_cam.utils.model_targets import ClassifierOutputReST, ClassifierOutputTarget, FinerWeightedTarget
from scipy.linalg import eigh
from torch import nn
from torch.nn import functional

from baselines import activation_cam
from baselines.activation_cam import FEM, KPCACAM, RandomCAM
from baselines.cam import CAM
from baselines.finer_cam import FinerCAM
from baselines.fullgrad import FullGrad
from baselines.refinecam import RefineCAM
from baselines.shapley_cam import ShapleyCAM
from tests.test_baselines_cam import TARGETS, as_library, by_autograd, classifier_of, close, library, network


@pytest.fixture
def net():
    return network()


@pytest.fixture
def image():
    return torch.rand(3, 24, 40, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def library_with(net, image, name, target_of, layers=("0.5",), **settings):
    """pytorch-grad-cam's own answer (K,H,W) with targets of its own kind."""
    net = copy.deepcopy(net).eval().requires_grad_(True).float()
    for module in net.modules():
        if getattr(module, "inplace", False):
            module.inplace = False
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]))
    pixels = ((image - mean) / std).float()
    cam = getattr(pytorch_grad_cam, name)(net, [net.get_submodule(layer) for layer in layers], **settings)
    return np.stack([cam(pixels[None], [target_of(int(target))])[0] for target in TARGETS])


def test_linear_approximation_and_the_seg_eigen_direction(net, image):
    activations, gradients, _, _ = by_autograd(net, image)
    close(CAM(classifier_of(net), "HiResCAM")(image, TARGETS), (activations * gradients).sum(1))
    actual = CAM(classifier_of(net), "SegEigenCAM")(image, TARGETS)
    for heat, gradient in zip(actual, gradients, strict=True):
        flat = (gradient.abs() * activations).flatten(1).T
        flat = flat - flat.mean(0)
        direction = eigh((flat.T @ flat).numpy())[1][:, -1]
        expected = (flat @ torch.from_numpy(direction)).view_as(heat)
        expected = -expected if expected.min().abs() > expected.max() else expected
        torch.testing.assert_close(heat, expected, rtol=1e-4, atol=1e-8)
    expected = library(net, image, "SegEigenCAM")
    np.testing.assert_allclose(as_library(actual, image), expected, atol=1e-5)


def test_fem(net, image):
    activations, _, _, _ = by_autograd(net, image)
    expected = torch.zeros(activations.shape[1:], dtype=torch.float64)
    for channel in activations:
        rare = channel >= channel.mean() + 1.5 * ((channel - channel.mean()) ** 2).mean().sqrt()
        assert 0 < rare.sum() < rare.numel()
        expected += channel.mean() * rare
    close(FEM(classifier_of(net), k=1.5)(image, TARGETS), expected.expand(2, -1, -1))
    actual = FEM(classifier_of(net), weights="library")(image, TARGETS)
    np.testing.assert_allclose(as_library(actual, image), library(net, image, "FEM"), atol=1e-5)


def test_kpcacam(net, image):
    activations, _, _, _ = by_autograd(net, image)
    flat = activations.flatten(1).T
    flat = flat - flat.mean(0)
    for kernel, matrix in [("sigmoid", torch.tanh(flat @ flat.T / 7 + 1)), ("linear", flat @ flat.T)]:
        centre = torch.eye(len(flat), dtype=torch.float64) - 1 / len(flat)
        strengths, vectors = torch.linalg.eigh(centre @ matrix @ centre)
        expected = vectors[:, -1] * strengths[-1].sqrt()
        expected = expected * (expected @ flat.sum(1)).sign()
        actual = KPCACAM(classifier_of(net), kernel=kernel)(image, TARGETS)
        close(actual, expected.view(activations.shape[1:]).expand(2, -1, -1))
    expected = library(net, image, "KPCA_CAM")
    actual = KPCACAM(classifier_of(net))(image, TARGETS)
    assert min(np.abs(as_library(sign * actual, image) - expected).max() for sign in (1, -1)) < 1e-5
    flat_net = copy.deepcopy(net)
    flat_net[0][3].weight.data.zero_()
    assert (KPCACAM(classifier_of(flat_net))(image, TARGETS) == 0).all()


def test_kpcacam_does_not_depend_on_numpys_generator(net):
    """With more than 200 positions the library's solver starts at random."""
    activations = torch.rand(1, 7, 20, 20, generator=torch.Generator().manual_seed(0))
    answers = []
    for seed in range(2):
        np.random.seed(seed)  # noqa: NPY002
        answers.append(KPCACAM(classifier_of(net)).map(activations))
    assert torch.equal(*answers)


def test_random_weights_follow_the_seed_and_the_class(net, image):
    activations, _, _, _ = by_autograd(net, image)

    def drawn(targets, seed=0):
        torch.manual_seed(seed)
        return RandomCAM(classifier_of(net))(image, torch.tensor(targets))

    both = drawn([3, 1])
    assert torch.equal(drawn([1, 3]), both.flip(0))
    assert not torch.allclose(both[0], both[1])
    assert not torch.allclose(drawn([3, 1], seed=1), both)
    weights = torch.linalg.lstsq(activations.flatten(1).T, both.flatten(1).T).solution
    torch.testing.assert_close(torch.einsum("ck,chw->khw", weights, activations), both, rtol=1e-5, atol=1e-8)
    assert (weights.abs() <= 1 + 1e-5).all()
    assert (weights < 0).any()


def shapley(net, pixels, worth, target):
    """(h,w) with the whole Hessian, entry by entry."""
    activations = net[0](pixels[None]).detach()

    def of(values):
        return worth(net[1](values.view_as(activations))[0], target)

    flat = activations.flatten().requires_grad_()
    (gradient,) = torch.autograd.grad(of(flat), flat)
    hessian = torch.autograd.functional.hessian(of, flat.detach())
    weights = (gradient - hessian @ flat.detach() / 2).view_as(activations).mean((2, 3), keepdim=True)
    return (weights * activations).sum(1)[0]


@pytest.mark.parametrize("utility", ["rest", "score", "sigmoid"])
def test_shapleycam(net, image, utility):
    net[1][1] = nn.Softplus()  # a head that bends, so that the Hessian counts under every utility
    net[1][0] = nn.Conv2d(7, 4, 3, stride=2, padding=1).double()
    net[1][2], net[1][4] = nn.Identity(), nn.Linear(4 * 3 * 5, 5).double()
    _, _, _, pixels = by_autograd(net, image)
    worths = {
        "rest": lambda output, t: output[t] + output.log_softmax(0)[t],
        "score": lambda output, t: output[t],
        "sigmoid": lambda output, t: output[t] + functional.logsigmoid(output[t]),
    }
    settings = {"utility": "rest", "probability": "sigmoid"} if utility == "sigmoid" else {"utility": utility}
    expected = torch.stack([shapley(net.eval(), pixels, worths[utility], int(t)) for t in TARGETS])
    actual = ShapleyCAM(classifier_of(net), **settings)(image, TARGETS)
    close(actual, expected)
    assert not torch.allclose(actual, CAM(classifier_of(net))(image, TARGETS), rtol=0.01)
    if utility != "sigmoid":
        kind = ClassifierOutputReST if utility == "rest" else ClassifierOutputTarget
        np.testing.assert_allclose(as_library(actual, image), library_with(net, image, "ShapleyCAM", kind), atol=1e-5)


def test_shapleycam_behind_the_last_layer_is_gradcam(net, image):
    net[1] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 5)).double()
    actual = ShapleyCAM(classifier_of(net), utility="score")(image, TARGETS)
    close(actual, CAM(classifier_of(net))(image, TARGETS))


@pytest.mark.parametrize("weights", ["probability", "mean"])
def test_finercam(net, image, weights):
    _, _, _, pixels = by_autograd(net, image)
    actual = FinerCAM(classifier_of(net), strength=0.7, similar=2, weights=weights)(image, TARGETS)
    activations = net.eval()[0](pixels[None]).detach().requires_grad_()
    output = net[1](activations)[0]
    chance = output.softmax(0)
    nearest = {}
    for k, target in enumerate(TARGETS.tolist()):
        others = sorted(
            (i for i in range(5) if i != target), key=lambda i: abs(float((output[i] - output[target]).detach()))
        )[:2]
        nearest[target] = others
        shares = [chance[i] / sum(chance[j] for j in others) if weights == "probability" else 0.5 for i in others]
        worth = sum(s * (output[target] - 0.7 * output[i]) for s, i in zip(shares, others, strict=True))
        (gradient,) = torch.autograd.grad(worth, activations, retain_graph=True)
        expected = (gradient.mean((2, 3), keepdim=True) * activations.detach()).sum(1)[0]
        close(actual[k], expected)
    if weights == "probability":
        theirs = library_with(net, image, "GradCAM", lambda t: FinerWeightedTarget(t, nearest[t], 0.7))
        np.testing.assert_allclose(as_library(actual, image), theirs, atol=1e-5)


def test_finercam_of_a_network_with_one_output_is_the_plain_cam(image):
    net = nn.Sequential(network()[0], nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, 1))).double()
    classifier = classifier_of(net)
    classifier.outputs = [[0]] * 5
    close(FinerCAM(classifier)(image, TARGETS[:1]), CAM(classifier)(image, TARGETS[:1]))


def test_fullgrad_adds_up_to_the_score(net, image):
    """Eq. 5: the input's and all biases' parts, those of linear layers included, are the score."""
    net[0][4].running_mean.normal_(0, 0.2)
    net[0][4].running_var.uniform_(0.5, 2)
    net[0][4].weight.data.uniform_(0.5, 1.5)
    net[0][4].bias.data.normal_(0, 0.2)
    method = FullGrad(classifier_of(net))
    assert list(method.biased) == ["0.0", "0.3", "0.4", "1.0"]
    pixels, gradients = method.gradients(image, TARGETS)
    total = (pixels * gradients[0]).sum((1, 2, 3))
    for module, gradient in zip(method.biased.values(), gradients[1:], strict=True):
        total = total + (at_zero(module)[:, None, None] * gradient).sum((1, 2, 3))
    _, _, scores, _ = by_autograd(net, image)
    torch.testing.assert_close(total + net[1][4].bias[TARGETS], scores, rtol=1e-5, atol=1e-7)

    expected = torch.zeros(2, 24, 40, dtype=torch.float64)
    sources = [(pixels, gradients[0])]
    for module, gradient in zip(method.biased.values(), gradients[1:], strict=True):
        sources.append((at_zero(module)[:, None, None], gradient))
    for factor, gradient in sources:
        for k in range(2):
            part = (factor * gradient)[k].abs()
            part = (part - part.min()) / (part.max() - part.min())
            large = functional.interpolate(part[None], (24, 40), mode="bilinear", align_corners=True)[0]
            expected[k] += large.sum(0)
    close(method(image, TARGETS), expected)


def at_zero(module):
    """(C,): what the layer gives for an input of zero."""
    channels = module.weight.shape[1] if isinstance(module, nn.Conv2d) else len(module.weight)
    return module.eval()(torch.zeros(1, channels, 5, 5).double())[0, :, 1, 1]


def test_refinecam(net, image):
    layers = ["0.5", "0.2"]
    actual = RefineCAM(classifier_of(net, layers), layers=layers)(image, TARGETS)
    expected = torch.ones(2, 24, 40, dtype=torch.float64)
    for name in layers:
        maps = CAM(classifier_of(net), "GradCAMPlusPlus", layers=name)(image, TARGETS).clamp(min=0).double()
        for k, heat in enumerate(maps):
            large = functional.interpolate(heat[None, None], (24, 40), mode="bilinear", align_corners=False)[0, 0]
            expected[k] *= (large - large.min()) / (large.max() - large.min())
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    theirs = library_with(net, image, "RefineCAM", ClassifierOutputTarget, layers)
    np.testing.assert_allclose(as_library(actual, image), theirs, atol=1e-5)
    before = classifier_of(net, layers)
    seen = before.images_seen
    RefineCAM(before, "LayerCAM", layers=layers)(image, TARGETS)
    assert before.images_seen == seen + 1


def test_activation_methods_share_what_they_do_with_several_layers(net, image):
    classifier = classifier_of(net)
    both = activation_cam.FEM(classifier, layers=["0.2", "0.5"])(image, TARGETS)
    assert both.shape[1:] == CAM(classifier, layers="0.2")(image, TARGETS).shape[1:]
    assert torch.equal(FEM(classifier, relu=True)(image, TARGETS), FEM(classifier)(image, TARGETS).clamp(min=0))


@pytest.mark.parametrize(
    ("method", "settings", "message"),
    [
        (FEM, {"weights": "median"}, "'median' is none of mean, library"),
        (ShapleyCAM, {"utility": "rests"}, "'rests' is none of rest, score"),
        (ShapleyCAM, {"probability": "logit"}, "none of softmax, sigmoid"),
        (FinerCAM, {"weights": "softmax"}, "'softmax' is none of probability, mean"),
        (FinerCAM, {"similar": 0}, "at least 1 output"),
        (RefineCAM, {"formula": "GradCam"}, "is none of"),
    ],
)
def test_settings_that_make_no_sense(net, method, settings, message):
    with pytest.raises(ValueError, match=message):
        method(classifier_of(net), **settings)
