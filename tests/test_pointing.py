"""The observation of a heat map, by hand-made maps and a second implementation."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from eval.game.pointing import points_or_maps, upscale
from eval.game.region import Region
from eval.measures.map_measures import cases_of
from eval.measures.map_measures import observe as observe_cases


def observe(answer, size, regions):
    return observe_cases(cases_of(points_or_maps(answer, len(regions)), size, regions))


def observe_map(heat, region):
    return observe([heat], region.size, [region])[0]


def box(x0, y0, x1, y1, size=(8, 6)):
    return Region.from_boxes(np.array([[x0, y0, x1, y1]]), size)


def test_the_highest_point_is_x_y_in_original_pixels():
    heat = np.zeros((6, 8), np.float32)
    heat[4, 7] = 1
    row = observe_map(heat, box(7, 4, 8, 5))
    assert (row["x"], row["y"], row["inside"], row["distance"], row["ties"]) == (7, 4, True, 0, 1)
    assert row["energy"] == 1
    assert observe_map(heat, box(0, 0, 4, 1))["distance"] == pytest.approx(np.hypot(4, 4))


def test_the_first_of_several_highest_points_counts_and_all_are_counted():
    heat = np.zeros((6, 8), np.float32)
    heat[1, 5] = heat[1, 2] = heat[3, 0] = 2
    row = observe_map(heat, box(2, 1, 3, 2))
    assert (row["x"], row["y"], row["ties"], row["inside"]) == (2, 1, 3, True)


@pytest.mark.parametrize("value", [0.0, 3.0, -1.0])
def test_a_constant_map_is_marked(value):
    row = observe_map(np.full((6, 8), value, np.float32), box(0, 0, 8, 6))
    assert row["constant"]
    assert row["ties"] == 48
    assert row["energy"] == (1.0 if value > 0 else None)
    assert row["cover10"] == pytest.approx(5 / 48, abs=1e-6)  # tied pixels cover in proportion: chance level


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_map_that_is_not_finite_is_an_error(bad):
    maps = torch.zeros(1, 3, 3)
    maps[0, 1, 1] = bad
    with pytest.raises(ValueError, match="not finite"):
        observe(maps, (8, 6), [box(0, 0, 1, 1)])


@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 3), (3, 3, 3, 1), (1, 0, 3)])
def test_a_wrong_shape_is_an_error(shape):
    with pytest.raises(ValueError, match=r"expected maps|is empty"):
        observe(torch.zeros(shape), (8, 6), [box(0, 0, 1, 1)])


def test_the_map_of_a_single_class_without_its_axis_is_named():
    with pytest.raises(ValueError, match=r"returned as map\[None\]"):
        observe(torch.zeros(3, 3), (8, 6), [box(0, 0, 1, 1)])
    with pytest.raises(ValueError, match=r"got \(1, 2, 3, 3\)$"):
        observe(torch.zeros(1, 2, 3, 3), (8, 6), [box(0, 0, 1, 1)])
    with pytest.raises(ValueError, match=r"got \(2, 1, 3, 3\); maps\[:, 0\] leaves the channel out$"):
        observe(torch.zeros(2, 1, 3, 3), (8, 6), [box(0, 0, 1, 1)] * 2)
    with pytest.raises(ValueError, match=r"got \(1, 2, 3, 3\); maps\[0\] leaves the batch out$"):
        observe(torch.zeros(1, 2, 3, 3), (8, 6), [box(0, 0, 1, 1)] * 2)


def test_points_leave_the_fields_of_maps_empty():
    (row,) = observe(torch.tensor([[3.5, 2.5]]), (8, 6), [box(3, 2, 4, 3)])
    assert (row["x"], row["y"], row["inside"]) == (3.5, 2.5, True)
    assert row["energy"] is None
    assert row["cover5"] is None


@given(arrays(np.float32, (6, 8), elements=st.floats(-4, 4, width=16)), st.integers(0, 7), st.integers(0, 5))
def test_cover_and_energy_against_a_plain_count(heat, x, y):
    region = box(x, y, 8, 6)
    row = observe_map(heat, region)
    inside = region.mask
    order = np.argsort(-heat, axis=None, kind="stable")
    for percent in (5, 10, 20):
        budget = max(1, round(48 * percent / 100))
        threshold = heat.flat[order[budget - 1]]
        # The mean over all ways to choose among tied pixels.
        sure, tied = heat > threshold, heat == threshold
        expected = ((sure & inside).sum() + (tied & inside).sum() * (budget - sure.sum()) / tied.sum()) / inside.sum()
        assert row[f"cover{percent}"] == pytest.approx(expected, abs=2e-6)
    positive = heat.clip(0).astype(np.float64)
    if positive.sum() > 0:
        assert row["energy"] == pytest.approx(positive[inside].sum() / positive.sum(), abs=2e-6)
    else:
        assert row["energy"] is None


def test_upscaling_is_bilinear_with_half_pixel_centres():
    maps = torch.rand(2, 3, 5, generator=torch.Generator().manual_seed(1))
    up = upscale(maps[1].numpy(), (20, 9)).values
    for row, column in [(0, 0), (4, 7), (8, 19), (3, 12)]:
        y = np.clip((row + 0.5) * 3 / 9 - 0.5, 0, 2)
        x = np.clip((column + 0.5) * 5 / 20 - 0.5, 0, 4)
        y0, x0 = int(y), int(x)
        y1, x1, fy, fx = min(y0 + 1, 2), min(x0 + 1, 4), y - int(y), x - int(x)
        m = maps[1].double().numpy()
        top = m[y0, x0] * (1 - fx) + m[y0, x1] * fx
        bottom = m[y1, x0] * (1 - fx) + m[y1, x1] * fx
        assert up[row, column] == pytest.approx(top * (1 - fy) + bottom * fy, abs=1e-6)


@pytest.mark.parametrize("corner", [(0, 0), (0, 6), (6, 0), (6, 6)])
@pytest.mark.parametrize("value", [1.0, 0.7123457, 1 / 3])
def test_a_plateau_at_the_border_is_exactly_flat(corner, value):
    """Beyond the outermost centres a resized map is constant; rounding must not pick a point of it."""
    maps = torch.rand(1, 7, 7, generator=torch.Generator().manual_seed(3)) * 0.1
    maps[0][corner] = value
    row = observe_map(maps[0], box(0, 0, 1, 1, (224, 224)))
    assert row["ties"] == 256
    assert (row["y"], row["x"]) == tuple(0 if c == 0 else 208 for c in corner)


@given(arrays(np.float64, (5, 7), elements=st.floats(-1e3, 1e3)), st.integers(1, 40), st.integers(1, 40))
def test_upscaling_against_torch_in_double_precision(grid, width, height):
    expected = torch.nn.functional.interpolate(torch.from_numpy(grid)[None, None], (height, width), mode="bilinear")
    np.testing.assert_allclose(upscale(grid, (width, height)).values, expected[0, 0].numpy(), atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize(("low", "high"), [(0, 1e-60), (1 - 1e-9, 1 - 1e-12), (1000, 1000.00001), (-1e308, 1e308)])
def test_no_difference_of_double_precision_is_rounded_away(low, high):
    grid = np.full((20, 30), float(low))
    grid[12, 17] = high
    row = observe_map(grid, box(17, 12, 18, 13, (30, 20)))
    assert (row["x"], row["y"], row["ties"], row["constant"], row["inside"]) == (17, 12, 1, False, True)


def test_pixels_of_one_height_left_and_right_of_a_peak_are_a_tie():
    """The two middle pixels of an even enlargement are equally high; the last bit must choose neither."""
    for value in np.random.default_rng(0).random(50):
        grid = np.full((7, 7), value / 3)
        grid[3, 3] = value
        assert observe_map(grid, box(0, 0, 1, 1, (224, 224)))["ties"] == 4
    for seed in range(20):  # uneven on both sides of the peak: left and right interpolate in another order
        quarter = np.random.default_rng(seed).random((4, 4)) * 0.9
        quarter[3, 3] = 1
        grid = np.pad(quarter, (0, 3), "reflect")
        assert observe_map(grid, box(0, 0, 1, 1, (224, 224)))["ties"] == 4


@pytest.mark.parametrize(
    "answer",
    [
        [[[0.0, 1.0], [0.0, 0.0]]],
        (np.array([[0, 1], [0, 0]]),),
        torch.tensor([[[0, 1], [0, 0]]], dtype=torch.bfloat16),
        torch.tensor([[[False, True], [False, False]]]),
        [torch.tensor([[0, 1.0], [0, 0]], requires_grad=True)],
    ],
)
def test_answers_of_any_kind_of_real_numbers_are_read(answer):
    (row,) = observe(answer, (2, 2), [box(1, 0, 2, 1, (2, 2))])
    assert (row["x"], row["y"], row["inside"]) == (1, 0, True)


@pytest.mark.parametrize("answer", [None, "a map", torch.ones(1, 2, 2) * 1j, np.full((1, 2, 2), None), [[1], [1, 2]]])
def test_answers_that_are_no_real_numbers_are_refused(answer):
    with pytest.raises(ValueError, match=r"maps are real numbers|returned|expected maps"):
        observe(answer, (2, 2), [box(1, 0, 2, 1, (2, 2))])
