"""Geometry of regions against brute force over pixels."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from eval.game.region import Region

SIDE = 24


@st.composite
def boxes(draw):
    drawn = []
    for _ in range(draw(st.integers(1, 4))):
        x0, y0 = draw(st.integers(0, SIDE - 1)), draw(st.integers(0, SIDE - 1))
        drawn.append((x0, y0, draw(st.integers(x0 + 1, SIDE)), draw(st.integers(y0 + 1, SIDE))))
    return np.array(drawn)


points = st.floats(0, SIDE, exclude_max=True, width=32)


def raster(corners):
    """Second implementation: every pixel one by one."""
    return np.array(
        [[any(x0 <= x < x1 and y0 <= y < y1 for x0, y0, x1, y1 in corners) for x in range(SIDE)] for y in range(SIDE)]
    )


@given(boxes(), points, points)
def test_boxes_equal_their_raster(corners, x, y):
    mask = raster(corners)
    region = Region.from_boxes(corners, (SIDE, SIDE))
    assert (region.mask == mask).all()
    assert region.area == mask.sum()
    assert region.contains(x, y) == mask[int(y), int(x)]
    rows, columns = np.nonzero(mask)
    nearest = 0.0 if mask[int(y), int(x)] else np.hypot(columns - x, rows - y).min()
    # Beside a box the closed form lets the nearest coordinate be any on its side: at most half a pixel off.
    assert region.distance(x, y) <= nearest + 1e-9
    assert nearest**2 - region.distance(x, y) ** 2 <= 0.25 + 1e-6


@given(boxes(), points, points)
@example(np.array([[0, 16, 18, 18], [16, 0, 17, 16]]), 15.75, 15.75)  # nearest to a pixel that touches by a corner
def test_a_mask_measures_to_the_nearest_pixel(corners, x, y):
    mask = raster(corners)
    region = Region.from_mask(mask)
    rows, columns = np.nonzero(mask)
    nearest = 0.0 if mask[int(y), int(x)] else np.hypot(columns - x, rows - y).min()
    assert region.contains(x, y) == mask[int(y), int(x)]
    assert region.distance(x, y) == pytest.approx(nearest, abs=1e-9)
    assert region.area == mask.sum()


@given(boxes(), st.integers(0, SIDE - 1), st.integers(0, SIDE - 1))
def test_boxes_and_their_mask_agree_at_integer_points(corners, x, y):
    """A heat map's highest point is a pixel: there both forms must say the same, exactly."""
    region, mask = Region.from_boxes(corners, (SIDE, SIDE)), Region.from_mask(raster(corners))
    assert region.contains(x, y) == mask.contains(x, y)
    assert region.distance(x, y) == pytest.approx(mask.distance(x, y), abs=1e-12)


def test_points_outside_the_picture_are_outside():
    region = Region.from_mask(np.ones((4, 5), bool))
    assert not region.contains(5, 0)
    assert not region.contains(-0.5, 0)
    assert region.distance(8, 3) == 4
    assert region.contains(0, 0)
    assert region.contains(4.5, 3.5)


@pytest.mark.parametrize(
    "make", [lambda: Region.from_boxes(np.zeros((0, 4)), (5, 5)), lambda: Region.from_mask(np.zeros((5, 5)))]
)
def test_an_empty_region_is_refused(make):
    with pytest.raises(ValueError, match="at least one"):
        make()


def test_digests_are_those_of_rows_that_exist():
    """Rows hold them: another digest is another version of the rows, whatever the order of the boxes."""
    corners = np.array([[3, 1, 9, 5], [0, 0, 2, 2]])
    for order in ([0, 1], [1, 0], [0, 1, 0]):
        assert Region.from_boxes(corners[order], (20, 10)).digest == "b32e9e1b1b287e4e"
    mask = np.zeros((10, 20), bool)
    mask[1:5, 3:9] = mask[:2, :2] = True
    assert Region.from_mask(mask).digest == "2211c956c1e237e2"
    assert Region.from_boxes(corners[:1], (20, 10)).digest == "193b4b241a0a4125"
    assert Region.from_boxes(corners[:1], (10, 20)).digest == "da529e01109c54f2"
    assert Region.from_mask(mask).boxes.shape == (0, 4)


def test_the_area_of_a_union_is_that_of_its_pixels():
    rng = np.random.default_rng(0)
    for count in (1, 2, 3, 8) * 25:
        low, size = rng.integers(0, 20, (count, 2)), rng.integers(1, 12, (count, 2))
        region = Region.from_boxes(np.hstack([low, low + size]), (32, 32))
        assert region.area == region.mask.sum()
