"""The Gaussian over maps, after the resize; and what a method sees in place of the protocol's input."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.nn import functional

from eval.game.pointing import upscale
from eval.game.protocol import Input
from eval.game.smoothing import NONE, Smoothing
from eval.running.config import load
from eval.running.job import smoothing_of


@pytest.mark.parametrize(("border", "mode"), [("edge", "replicate"), ("zero", "constant")])
def test_the_gaussian_against_a_convolution(border, mode):
    heat = np.random.default_rng(0).random((30, 41))
    sigma = 0.05 * 41
    offsets = torch.arange(-9, 10, dtype=torch.float64)
    assert math.ceil(4 * sigma) == 9
    kernel = torch.exp(-(offsets**2) / (2 * sigma**2))
    kernel = torch.outer(kernel, kernel) / kernel.sum() ** 2
    padded = functional.pad(torch.from_numpy(heat)[None, None], [9] * 4, mode=mode)
    expected = functional.conv2d(padded, kernel[None, None])[0, 0].numpy()
    np.testing.assert_allclose(Smoothing(0.05, border=border)(heat), expected, rtol=1e-10)
    assert NONE(heat) is heat


def test_a_map_is_smoothed_after_the_resize():
    grid = np.random.default_rng(0).random((7, 5))
    resized = upscale(grid, (90, 60)).values
    for smoothing, sigma in ((Smoothing(0.1), 9.0), (Smoothing(0.1, of="shorter", border="zero"), 6.0)):
        mode = "nearest" if smoothing.border == "edge" else "constant"
        expected = gaussian_filter(resized, sigma, mode=mode, radius=math.ceil(4 * sigma))
        actual = upscale(grid, (90, 60), smoothing)
        np.testing.assert_allclose(actual.values, expected, rtol=1e-9)
        row, column = np.unravel_index(expected.argmax(), expected.shape)
        assert actual.peak == (column, row)
    before = upscale(Smoothing(0.1)(grid), (90, 60)).values
    assert abs(before - upscale(grid, (90, 60), Smoothing(0.1)).values).max() > 0.01, "the order matters"


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
        cfg = load([f"method={name}", "protocol=torchray"])
        assert smoothing_of(cfg.method) == Smoothing(share)
        source = Input(**cfg.protocol.input).of_method(cfg.method.get("input"))
        assert source.size(500, 375) == ((224, 224) if name == "rise" else (298, 224))
