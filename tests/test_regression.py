"""Ridge by accumulated normal equations against scikit-learn on the matrix of all samples."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.preprocessing import StandardScaler

from gpnncam import solve
from gpnncam.regression import NormalEquations


def samples(pictures=7, channels=6, side=5, classes=3, seed=0):
    """Activations (pictures,channels,side,side) of very different scales, targets (classes,pictures,side,side)."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.logspace(-3, 3, channels).view(1, -1, 1, 1)
    x = (torch.randn(pictures, channels, side, side, generator=generator) * scale).relu() + 10 * scale
    return x, torch.rand(classes, pictures, side, side, generator=generator, dtype=torch.float64)


def accumulate(x, y, chunk):
    sums = NormalEquations()
    for a, b in zip(x.split(chunk), y.split(chunk, 1), strict=True):
        sums.add(a, b)
    return sums


def sklearn_prediction(x, y, alpha):
    flat = x.double().movedim(1, -1).reshape(-1, x.shape[1]).numpy()
    scaler = StandardScaler().fit(flat)
    ridge = Ridge(alpha=alpha, solver="svd").fit(scaler.transform(flat), y.flatten(1).numpy().T)
    return (ridge.predict(scaler.transform(flat)) - ridge.intercept_).T.reshape(y.shape), ridge


@pytest.mark.parametrize("alpha", [1e-4, 1.0, 100.0])
@pytest.mark.parametrize("chunk", [1, 3, 7])
def test_equals_sklearn(alpha, chunk):
    x, y = samples()
    fitted = accumulate(x, y, chunk).solve(alpha)
    expected, ridge = sklearn_prediction(x, y, alpha)
    np.testing.assert_allclose(fitted.coefficients, ridge.coef_, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(fitted.intercept, ridge.intercept_, rtol=1e-9)
    np.testing.assert_allclose(fitted.predict(x), expected, rtol=1e-6, atol=1e-9)


def test_more_channels_than_samples():
    x, y = samples(pictures=2, channels=80)
    expected, _ = sklearn_prediction(x, y, 1e-4)
    np.testing.assert_allclose(accumulate(x, y, 1).solve(1e-4).predict(x), expected, atol=1e-6)


def test_constant_channel_has_no_weight_and_changes_nothing():
    x, y = samples()
    with_constant = torch.cat([x, torch.full_like(x[:, :1], 1e6), torch.zeros_like(x[:, :1])], 1)
    fitted = accumulate(with_constant, y, 2).solve(1e-2)
    assert (fitted.coefficients[:, -2:] == 0).all()
    torch.testing.assert_close(fitted.predict(with_constant), accumulate(x, y, 2).solve(1e-2).predict(x))


def test_a_large_offset_costs_no_digits():
    x, y = samples()
    x = x.double()
    plain = accumulate(x, y, 2).solve(1e-4).predict(x)
    moved = x + 1e5 * x.std((0, 2, 3), keepdim=True)
    torch.testing.assert_close(accumulate(moved, y, 2).solve(1e-4).predict(moved), plain, rtol=1e-6, atol=1e-8)


def test_activations_that_are_not_finite_are_refused():
    x, y = samples()
    x[0, 0, 0, 0] = torch.nan
    with pytest.raises(ValueError, match="finite"):
        accumulate(x, y, 7).solve(1e-4)


def fits(monkeypatch) -> list[torch.dtype]:
    """Filled with the precision of each regression from now on."""
    seen, fit = [], solve._fit
    monkeypatch.setattr(solve, "_fit", lambda *given: (seen.append(given[3]), fit(*given))[1])
    return seen


def maps(layer, seed=1):
    """The maps that a layer (n,C,h,w) is regressed to."""
    deep = torch.rand(len(layer), 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return solve.solve([deep, layer], torch.ones(2, len(layer), 3), slice(1, None))[1]


def test_float32_gives_the_maps_of_float64(monkeypatch):
    layer = samples(pictures=12, channels=40, side=8)[0]
    seen = fits(monkeypatch)
    single = maps(layer)
    monkeypatch.setattr(solve, "_single_may_do", lambda layer: False)
    torch.testing.assert_close(single, maps(layer), rtol=0, atol=1e-5)
    assert seen == [torch.float32, torch.float64]


@pytest.mark.parametrize("twin", [0.0, 1e-3])
def test_what_float32_cannot_resolve_is_fitted_in_float64(monkeypatch, twin):
    """A channel that another one explains to a millionth of its variance, or wholly."""
    layer = samples(pictures=12, channels=8, side=8)[0]
    grain = torch.randn(layer[:, 3].shape, generator=torch.Generator().manual_seed(2))
    layer[:, 5] = layer[:, 3] + twin * layer[:, 3].std() * grain
    seen = fits(monkeypatch)
    maps(layer)
    assert seen == [torch.float32, torch.float64]


def test_few_samples_half_precision_and_coarse_products_are_fitted_in_float64(monkeypatch):
    seen = fits(monkeypatch)
    maps(samples(pictures=3, channels=80)[0])
    wide = samples(pictures=12, channels=8, side=8)[0]
    maps(wide.double())
    monkeypatch.setattr(torch, "get_float32_matmul_precision", lambda: "medium")
    maps(wide)
    assert seen == [torch.float64] * 3


def test_float32_without_a_solution_is_left_to_float64_whose_error_is_raised():
    x, y = torch.full((1, 2, 4, 4), torch.nan), torch.zeros(1, 1, 4, 4)
    assert solve._fit([x], [y], 1e-4, torch.float32) is None
    with pytest.raises(ValueError, match="not finite"):
        solve._fit([x], [y], 1e-4, torch.float64)
