"""Means over noisy and mirrored copies, of any method."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from baselines.cam import CAM
from baselines.captum_maps import Gradient
from baselines.ensemble import Ensemble
from baselines.rise import RISE
from eval.running.build import build_method
from eval.running.config import load
from tests.test_contract import small_classifier

TARGETS = torch.tensor([2, 0])


@pytest.fixture(scope="module")
def classifier():
    return small_classifier()


@pytest.fixture
def image():
    return torch.rand(3, 40, 48, generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25


def inner(method, **settings):
    return {"name": "inner", "blind": False, "build": partial(method, **settings)}


def test_a_mirrored_copys_map_is_carried_back(classifier, image):
    cam = CAM(classifier)
    expected = (cam(image, TARGETS) + cam(image.flip(2), TARGETS).flip(2)) / 2
    found = Ensemble(classifier, inner(CAM), flip=True)(image, TARGETS)
    torch.testing.assert_close(found, expected)
    mirrored = Ensemble(classifier, inner(CAM), flip=True)(image.flip(2), TARGETS)
    torch.testing.assert_close(mirrored, found.flip(2))
    assert not torch.allclose(found, cam(image, TARGETS))


def test_noisy_copies(classifier, image):
    cam, deviation = CAM(classifier), 0.2 * (image.max() - image.min())
    for flip in (False, True):
        torch.manual_seed(5)
        found = Ensemble(classifier, inner(CAM), n=3, sigma=0.2, flip=flip)(image, TARGETS)
        torch.manual_seed(5)
        maps = []
        for _ in range(3):
            copy = image + deviation * torch.randn(3, 40, 48)
            maps.append(cam(copy, TARGETS))
            if flip:
                maps.append(cam(copy.flip(2), TARGETS).flip(2))
        torch.testing.assert_close(found, torch.stack(maps).mean(0))


def test_maps_of_several_sizes_are_averaged_on_the_finest_grid(classifier, image):
    def sized(pixels, size, **more):
        return functional.interpolate(pixels[None], size, mode="bilinear", align_corners=False, **more)[0]

    cam = CAM(classifier)
    smaller = cam(sized(image, (20, 24), antialias=True), TARGETS)
    larger, whole = cam(sized(image, (80, 96)), TARGETS), cam(image, TARGETS)
    grid = tuple(larger.shape[1:])
    assert grid > tuple(smaller.shape[1:])
    expected = (sized(smaller, grid) + larger + sized(whole, grid)) / 3
    for scales in ([0.5, 1, 2], [2, 1, 0.5]):
        found = Ensemble(classifier, inner(CAM), scales=scales)(image, TARGETS)
        torch.testing.assert_close(found, expected)


def test_crops_are_carried_back_to_their_place(classifier, image):
    """A method whose map is the picture it sees: the mean over crops is the picture again, wherever they lie."""

    def shown(image, targets, classifier):
        return image.mean(0).expand(len(targets), -1, -1)

    ramp = torch.linspace(0, 1, 48).expand(3, 40, 48) + torch.linspace(0, 1, 40)[:, None]
    torch.manual_seed(2)
    found = Ensemble(classifier, inner(shown), crops=6, smallest=0.5, flip=True)(ramp, TARGETS)
    assert found.shape == (2, 40, 48)
    assert (found - ramp.mean(0)).abs().max() < 0.03
    torch.manual_seed(2)
    parts = [view.part for view in Ensemble(classifier, inner(shown), crops=6, smallest=0.5).views(image)]
    assert parts[0] == (0, 0, 40, 48)
    assert len(set(parts)) == 7
    for top, left, rows, columns in parts:
        assert 20 <= rows <= rows + top <= 40
        assert 24 <= columns <= columns + left <= 48
        assert abs(rows / 40 - columns / 48) < 0.03, "the aspect is not kept"


def test_smoothgrad_averages_signed_gradients(classifier, image):
    """Eq. 1 of the paper: the mean of the gradients, and then their size, not the mean of their sizes."""
    torch.manual_seed(5)
    found = Ensemble(classifier, inner(Gradient), n=4, sigma=0.3)(image, TARGETS)
    torch.manual_seed(5)
    copies = [image + 0.3 * (image.max() - image.min()) * torch.randn(3, 40, 48) for _ in range(4)]
    signed = torch.stack([Gradient(classifier).raw(copy, TARGETS) for copy in copies]).mean(0)
    torch.testing.assert_close(found, signed.abs().amax(1))
    sizes = torch.stack([Gradient(classifier)(copy, TARGETS) for copy in copies]).mean(0)
    assert (found < 0.99 * sizes).any()


def test_a_method_that_draws_draws_anew_for_each_copy(classifier, image):
    torch.manual_seed(5)
    found = Ensemble(classifier, inner(RISE, masks=6), flip=True)(image, TARGETS)
    torch.manual_seed(5)
    rise = RISE(classifier, masks=6)
    expected = (rise(image, TARGETS) + rise(image.flip(2), TARGETS).flip(2)) / 2
    torch.testing.assert_close(found, expected)


def test_a_function_may_be_inside(classifier, image):
    def explain(image, targets, classifier, factor):
        return factor * image.mean(0).expand(len(targets), -1, -1)

    found = Ensemble(classifier, inner(explain, factor=2.0), flip=True)(image, TARGETS)
    torch.testing.assert_close(found, 2 * image.mean(0).expand(2, -1, -1))


def test_the_command_line_names_any_method_and_keeps_its_settings(classifier, image):
    short = load(["method=ensemble", "method.build.inner=layercam"]).method
    long = load(["method=ensemble", "method@method.build.inner=layercam"]).method
    assert short == long
    assert short.label == "Ensemble (LayerCAM)"
    made = build_method(short, classifier, ["a"])
    torch.testing.assert_close(
        made(image, TARGETS), Ensemble(classifier, inner(CAM, formula="LayerCAM"), flip=True)(image, TARGETS)
    )
    changed = ["method@method.build.inner=rise", "method.build.inner.build.masks=7", "protocol=torchray"]
    rise = load(["method=smoothgrad", *changed]).method
    assert rise.build.inner.build.masks == 7
    assert rise.input.mode == "squash"
    assert rise.smooth == 0
    gradient = load(["method=smoothgrad", "protocol=torchray"]).method
    assert gradient.smooth == gradient.build.inner.smooth == 0.02
    nested = load(["method=smoothgrad", "method.build.inner=ensemble"]).method
    assert nested.label == "SmoothGrad (Ensemble (GradCAM))"
    assert build_method(nested, classifier, ["a"])(image, TARGETS).shape[0] == 2


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"inner": "gradcam", "flip": True}, "is no method"),
        (
            {"inner": {"name": "center", "blind": True, "build": CAM}, "flip": True},
            "center does not look at the picture",
        ),
        ({"inner": inner(CAM)}, "an ensemble of one picture"),
        ({"inner": inner(CAM), "n": -1}, "needs n >= 0"),
        ({"inner": inner(CAM), "n": 2, "sigma": 0}, "noise"),
        ({"inner": inner(CAM), "scales": []}, "scales="),
        ({"inner": inner(CAM), "scales": [1, 0]}, "scales="),
        ({"inner": inner(CAM), "scales": [2, 2]}, "scales="),
        ({"inner": inner(CAM), "scales": [1]}, "an ensemble of one picture"),
        ({"inner": inner(CAM), "crops": -1}, "crops"),
        ({"inner": inner(CAM), "crops": 3, "smallest": 0}, "smallest"),
    ],
)
def test_settings_that_make_no_sense(classifier, settings, message):
    with pytest.raises(ValueError, match=message):
        Ensemble(classifier, **settings)
