"""CAMERAS, SESS and Recipro-CAM against second implementations in float64."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torchvision.models import VisionTransformer

from baselines.cam import CAM
from baselines.cameras import CAMERAS
from baselines.recipro_cam import ReciproCAM
from baselines.sess import SESS
from eval.networks.classifier import Classifier
from tests.test_contract import Residual

TARGETS = torch.tensor([3, 1])
SIDE = 24


def network():
    """A net for any size; its head is not linear, so gradients differ between positions."""
    torch.manual_seed(4)
    features = nn.Sequential(nn.Conv2d(3, 70, 5, 2, 2), nn.ReLU(inplace=True), nn.MaxPool2d(2))
    head = nn.Sequential(nn.Conv2d(70, 9, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(features, head, nn.Linear(9, 5)).double()


def classifier_of(net, layers=("0",), side=SIDE):
    made = Classifier(net, [0.4, 0.5, 0.6], [0.2, 0.25, 0.3], {"cam": list(layers)}, list("abcde"), side=side)
    made.mean, made.std = made.mean.double(), made.std.double()
    return made


def normal(pixels):
    mean, std = (torch.tensor(each).view(3, 1, 1).double() for each in ([0.4, 0.5, 0.6], [0.2, 0.25, 0.3]))
    return ((pixels - mean) / std)[None]


@pytest.fixture
def image():
    return torch.rand(3, SIDE, 30, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def close(actual, expected):
    # The classifier normalises with single-precision constants.
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("sides", "grid"), [([24], 24), ([16, 24, 40], 12), ([31, 24], 24)])
def test_cameras(sides, grid, image):
    net, size = network(), (grid, round(grid * 30 / 24))
    expected = []
    for target in TARGETS:
        mean_a, mean_g = 0, 0
        for side in sides:
            shape = (side, round(side * 30 / 24))
            copy = functional.interpolate(image[None], shape, mode="bicubic", antialias=side < SIDE)[0]
            activations = net[0](normal(copy)).detach().requires_grad_()
            net[2](net[1](activations))[0, target].backward()
            for channels, add in ((activations.detach(), True), (activations.grad, False)):
                up = functional.interpolate(channels, size, mode="bilinear", align_corners=False)[0] / len(sides)
                mean_a, mean_g = (mean_a + up, mean_g) if add else (mean_a, mean_g + up)
        expected.append((mean_a * mean_g).sum(0))
    close(CAMERAS(classifier_of(net), sides, grid)(image, TARGETS), torch.stack(expected))
    assert min(map(torch.Tensor.min, expected)) < 0
    rectified = CAMERAS(classifier_of(net), sides, grid, relu=True)(image, TARGETS)
    close(rectified, torch.stack(expected).clamp(min=0))


def sess(net, image, target, scales, window, step, drop, pool, theta, smooth):
    """The method window by window in numpy and OpenCV."""
    found = []
    for scale in scales:
        shape = (scale, round(scale * 30 / 24))
        picture = functional.interpolate(image[None], shape, mode="bilinear", antialias=scale < SIDE)[0]
        rows, columns = (sorted({*range(0, n - window, step), n - window}) for n in shape)
        for top in rows:
            for left in columns:
                part = picture[:, top : top + window, left : left + window]
                activations = net[0](normal(part)).detach().requires_grad_()
                output = net[2](net[1](activations))[0]
                output[target].backward()
                cam = (activations.grad.mean((2, 3), keepdim=True) * activations).sum(1)[0].detach()
                heat = cv2.resize(cam.clamp(min=0).numpy(), (window, window), interpolation=cv2.INTER_LINEAR)
                heat = (heat - heat.min()) / ((heat.max() - heat.min()) or 1)
                found.append((float(output.softmax(0)[target].detach()), heat, top, left, shape))
    found.sort(key=lambda each: each[0])
    highest = found[-1][0]
    maps = []
    for chance, heat, top, left, shape in found[int(drop * len(found)) :]:
        canvas = np.zeros(shape)
        canvas[top : top + window, left : left + window] = heat * chance / highest
        maps.append(cv2.resize(canvas, (round(window * 30 / 24), window), interpolation=cv2.INTER_LINEAR))
    maps = np.stack(maps)
    if pool == "max":
        merged = maps.max(0)
    else:
        counts = (maps > theta).sum(0)
        merged = np.where(counts > 0, np.where(maps > theta, maps, 0).sum(0) / np.maximum(counts, 1), 0)
    return torch.from_numpy(cv2.GaussianBlur(merged, (11, 11), 5.0) if smooth else merged)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"drop": 0.5, "smooth": False},
        {"pool": "max", "step": 7},
        {"theta": 0.3, "smooth": False, "step": 20},
    ],
)
def test_sess(settings, image):
    net = network()
    given = {"scales": [16, 24, 41], "window": 16, "step": 16, "drop": 0, "pool": "mean", "theta": 0, "smooth": True}
    given |= settings
    actual = SESS(classifier_of(net), {"build": partial(CAM)}, **given)(image, TARGETS)
    close(actual, torch.stack([sess(net, image, target, **given) for target in TARGETS.tolist()]))
    assert actual.amax((1, 2)).min() > 0


def test_sess_passes_a_window_once_where_the_inner_method_passes_it(image):
    made = classifier_of(network())
    method = SESS(made, {"build": partial(CAM)}, scales=[16, 32], window=16)
    made.images_seen = 0
    method(image, TARGETS)
    assert made.images_seen == len(list(method.windows(image))) == 2 + 2 * 3
    passless = SESS(made, {"build": partial(lambda image, targets, classifier: image[:1].expand(2, -1, -1))}, [16], 16)
    made.images_seen = 0
    passless(image, TARGETS)
    assert made.images_seen == 2, "the class's probability is looked up where the inner method does not pass the window"


def test_sess_takes_networks_of_one_size(image):
    torch.manual_seed(0)
    made = classifier_of(
        VisionTransformer(SIDE, 8, 1, 2, 8, 16, num_classes=5).double(), ["encoder.layers.encoder_layer_0.ln_1"]
    )
    assert SESS(made, {"build": partial(CAM)}, scales=[24, 50])(image, TARGETS).shape == (2, 24, 30)
    with pytest.raises(
        ValueError, match="CAMERAS shows the picture at several sizes, and the network takes none of 48"
    ):
        CAMERAS(made, sides=[24, 48])
    assert CAMERAS(made, sides=[24], grid=3)(image[..., :24], TARGETS).shape == (2, 3, 3)


GAUSSIAN = np.outer([1, 2, 1], [1, 2, 1]) / 16


@pytest.mark.parametrize("gaussian", [False, True])
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_recipro_cam(gaussian, kind, image):
    net = network()
    features = net[0](normal(image))[0].detach()
    expected = torch.zeros(2, *features.shape[1:], dtype=torch.float64)
    for i in range(features.shape[1]):
        for j in range(features.shape[2]):
            alone = torch.zeros_like(features)
            for down in (-1, 0, 1):
                for right in (-1, 0, 1):
                    share = GAUSSIAN[down + 1, right + 1] if gaussian else float(down == right == 0)
                    if 0 <= i + down < alone.shape[1] and 0 <= j + right < alone.shape[2]:
                        alone[:, i + down, j + right] = share * features[:, i, j]
            output = net[2](net[1](alone[None]))[0].detach()
            chances = output.softmax(0) if kind == "softmax" else output.sigmoid()
            expected[:, i, j] = chances[TARGETS]
    for batch in (5, 64):
        made = classifier_of(net)
        close(ReciproCAM(made, gaussian, kind, batch)(image, TARGETS), expected)


def test_recipro_cam_computes_what_is_before_the_layer_once(image):
    net, rows = network(), []
    method = ReciproCAM(classifier_of(net), batch=10)
    net[0][0].register_forward_hook(lambda _m, inputs, _o: rows.append(len(inputs[0])))
    net[0][0].forward = partial(lambda forward, pixels: rows.append("ran") or forward(pixels), net[0][0].forward)
    method(image, TARGETS)
    assert rows.count("ran") <= 2


def test_recipro_cam_refuses_a_layer_that_a_shortcut_passes():
    torch.manual_seed(1)
    net = nn.Sequential(Residual(3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 5)).double()
    with pytest.raises(ValueError, match=r"what follows '0\.conv' reads more than that layer"):
        ReciproCAM(classifier_of(net, ["0.conv"]))
    ReciproCAM(classifier_of(net, ["0"]))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda made: CAMERAS(made, sides=[24, 24]), "sides are"),
        (lambda made: CAMERAS(made, sides=[24], grid=0), "grid has at least 1"),
        (lambda made: CAMERAS(made, sides=[24], mode="nearest"), "mode 'nearest' is none of"),
        (lambda made: SESS(made, {"build": partial(CAM)}, scales=[20]), "at most the smallest scale"),
        (lambda made: SESS(made, {"build": partial(CAM)}, [24], drop=1.0), "0 <= drop < 1"),
        (lambda made: SESS(made, {"build": partial(CAM)}, [24], pool="sum"), "pool 'sum' is none of"),
        (lambda made: SESS(made, {"blind": True, "build": partial(CAM)}, [24]), "does not look at the picture"),
        (lambda made: ReciproCAM(made, batch=0), "batch must be at least 1"),
    ],
)
def test_settings_without_a_meaning(make, says):
    with pytest.raises(ValueError, match=says):
        make(classifier_of(network()))
