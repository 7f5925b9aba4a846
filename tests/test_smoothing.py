"""The Gaussian over maps, after the resize; and what a method sees in place of the protocol's input."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

import run
from eval.job import smoothing_of
from eval.pointing import upscale
from eval.protocol import Input
from eval.smoothing import NONE, Smoothing, blur


@pytest.mark.parametrize(("border", "mode"), [("edge", "nearest"), ("zero", "constant")])
def test_the_gaussian(border, mode):
    maps = torch.rand(2, 30, 41, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = np.stack([gaussian_filter(m, 1.7, mode=mode, radius=math.ceil(4 * 1.7)) for m in maps.numpy()])
    np.testing.assert_allclose(blur(maps, 1.7, border).numpy(), expected, rtol=1e-10)
    assert torch.equal(blur(maps, 0), maps)
    torch.testing.assert_close(blur(torch.ones(1, 3, 3), 5.0), torch.ones(1, 3, 3))  # wider than the map


def test_a_map_is_smoothed_after_the_resize():
    maps = torch.rand(1, 7, 5, generator=torch.Generator().manual_seed(0))
    resized = functional.interpolate(maps.double()[None], (60, 90), mode="bilinear", align_corners=False)[0]
    for smoothing, sigma in ((Smoothing(0.1), 9.0), (Smoothing(0.1, of="shorter", border="zero"), 6.0)):
        mode = "nearest" if smoothing.border == "edge" else "constant"
        expected = gaussian_filter(resized[0].numpy(), sigma, mode=mode, radius=math.ceil(4 * sigma))
        np.testing.assert_allclose(upscale(maps, (90, 60), smoothing)[0], expected, rtol=1e-6)
    before = upscale(blur(maps, 0.1 * 7), (90, 60))
    assert abs(before - upscale(maps, (90, 60), Smoothing(0.1))).max() > 0.01, "the order matters"


def test_settings():
    assert Smoothing.from_settings(None) == NONE == Smoothing.from_settings(0)
    assert Smoothing.from_settings({"share": 0.09, "of": "shorter", "border": "zero"}) == Smoothing(
        0.09, "shorter", "zero"
    )
    for settings, message in [
        ({"share": 0.1, "side": "longer"}, "unknown method.smooth setting side"),
        (-0.1, "between 0 and 1"),
        (True, "between 0 and 1"),
        ({"share": 0.1, "of": "both"}, "longer or shorter"),
        ({"share": 0.1, "border": "wrap"}, "edge or zero"),
    ]:
        with pytest.raises(ValueError, match=message):
            Smoothing.from_settings(settings)


def test_a_method_may_see_another_input():
    torchray = Input("shorter_side", antialias=False, spatial=True)
    assert torchray.of_method({"mode": "squash"}) == Input("squash", antialias=False, spatial=True)
    assert torchray.of_method(None) == torchray
    with pytest.raises(ValueError, match="no setting spatial"):
        torchray.of_method({"spatial": False})
    with pytest.raises(ValueError, match="must be squash or shorter_side"):
        torchray.of_method({"mode": "crop"})


def test_under_torchray_gradients_are_smoothed_and_rise_alone_is_squashed():
    expected = {"gradient": 0.02, "deconvnet": 0.02, "gradcam": 0.0, "rise": 0.0}
    for name, share in expected.items():
        cfg = run.load([f"method={name}", "protocol=torchray"])
        assert smoothing_of(cfg.method) == Smoothing(share)
        source = Input(**cfg.protocol.input).of_method(cfg.method.get("input"))
        assert source.size(500, 375) == ((224, 224) if name == "rise" else (298, 224))
