"""Masks and maps alone: calibrations by hand, scikit-learn and plain loops as second implementations."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score

from eval.game.pointing import upscale
from eval.game.region import Region
from eval.measures.map_measures import MAP_MEASURES, cases_of, observe
from eval.measures.thresholds import BINS, TOLERANCE, thresholds

FIELDS = ("pixel_ap", "iou_best", "iou_area", "gini", "entropy")
WIDTH, HEIGHT = 20, 12


def box():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[3:9, 4:10] = True  # 36 of 240 pixels
    return mask


def two_parts():
    mask = box()
    mask[0, 19] = mask[11, 0:5] = True  # 42
    return mask


def all_but_one():
    mask = np.ones((HEIGHT, WIDTH), bool)
    mask[5, 5] = False  # 239
    return mask


MASKS = {"box": (box(), 0.15), "two_parts": (two_parts(), 0.175), "all_but_one": (all_but_one(), 239 / 240)}


def fields_of(grid, mask):
    (row,) = observe(cases_of(np.asarray(grid, float)[None], mask.shape[::-1], [Region.from_mask(mask)]))
    return {name: row[name] for name in FIELDS}


@pytest.mark.parametrize(("mask", "share"), MASKS.values(), ids=MASKS)
def test_a_map_that_is_the_mask_has_one_and_a_uniform_map_its_share(mask, share):
    same = fields_of(mask, mask)
    assert [same[name] for name in FIELDS[:3]] == [1, 1, 1]
    assert same["gini"] == pytest.approx(1 - share, abs=1e-6), "by hand: equal mass on the share, none beside it"
    assert same["entropy"] == pytest.approx(np.log(mask.sum()) / np.log(mask.size), abs=1e-6)
    for level in (1.0, 7.5):
        even = fields_of(np.full((3, 4), level), mask)
        assert even == pytest.approx(dict(zip(FIELDS, [share] * 3 + [0, 1], strict=True)), abs=1e-6)
    for level in (0.0, -2.0):
        assert fields_of(np.full((3, 4), level), mask) == {
            **dict.fromkeys(FIELDS[:3], round(share, 6)), "gini": None, "entropy": None}  # fmt: skip


def test_four_pixels_by_hand():
    # In the map's order: in, out, in, out. Precision at the two inside: 1 and 2/3. IoU: 1/2, 1/3, 2/3, 2/4.
    row = fields_of([[4.0, 2.0], [3.0, 1.0]], np.array([[True, True], [False, False]]))
    assert row["pixel_ap"] == pytest.approx(5 / 6, abs=1e-6)
    assert row["iou_best"] == pytest.approx(2 / 3, abs=1e-6)
    assert row["iou_area"] == pytest.approx((1 / 2 + 1 / 3 + 2 / 3) / 3, abs=1e-4), "thresholds from 1 to 4"
    assert row["gini"] == pytest.approx((-3 * 1 - 1 * 2 + 1 * 3 + 3 * 4) / (4 * 10), abs=1e-6)
    shares = np.array([1, 2, 3, 4]) / 10
    assert row["entropy"] == pytest.approx(-(shares * np.log(shares)).sum() / np.log(4), abs=1e-6)


def maps():
    draw = np.random.default_rng(3)
    yield "coarse", draw.normal(size=(7, 7))
    yield "half_zero", np.maximum(draw.normal(size=(14, 14)), 0)
    yield "pixels", np.abs(draw.normal(size=(120, 160)))
    yield "outlier", np.where(np.eye(120, 160) > 0, draw.random((120, 160)), 1e4 * (np.arange(160) == 7))
    yield "long_tail", np.exp(4 * draw.normal(size=(60, 80)))
    yield "peak", np.exp(-((np.mgrid[:28, :28] - 12.0) ** 2).sum(0) / 6)
    yield "below_zero", -np.abs(draw.normal(size=(9, 9)))
    yield "huge", draw.normal(size=(9, 9)) * 5e307
    yield "tied", np.floor(2 * draw.normal(size=(120, 160)))


@pytest.mark.parametrize(("name", "grid"), list(maps()), ids=lambda each: each if isinstance(each, str) else "")
def test_against_sorted_pixels(name, grid):
    heat = upscale(grid, (160, 120))
    mask = np.zeros((120, 160), bool)
    mask[20:70, 30:90] = mask[100:, 150:] = True
    levels, inside, positive = heat.levels.ravel(), mask.ravel(), np.maximum(heat.values, 0).ravel()
    found, exact = thresholds(heat, mask), thresholds(heat, mask, tolerance=-1)
    rough = thresholds(heat, mask, tolerance=np.inf)
    ap = average_precision_score(inside, levels)
    steps, at = np.unique(levels, return_inverse=True)
    total = np.bincount(at)[::-1].cumsum()[::-1]
    hit = np.bincount(at, inside)[::-1].cumsum()[::-1]
    iou = hit / (inside.sum() + total - hit)
    area = (iou[1:] * np.diff(steps)).sum() / (steps[-1] - steps[0])
    assert exact.pixel_ap == pytest.approx(ap, abs=1e-12)
    assert exact.iou_best == pytest.approx(iou.max(), abs=1e-12)
    assert exact.iou_area == pytest.approx(area, abs=1e-9)
    assert exact.bound == 0
    assert rough.iou_area == pytest.approx(area, abs=1e-3)
    # The bound holds, and what is worse than TOLERANCE is sorted.
    assert max(abs(rough.pixel_ap - ap), abs(rough.iou_best - iou.max())) <= rough.bound + 1e-12
    assert found == (exact if rough.bound > TOLERANCE else rough)
    if name == "below_zero":
        assert found.gini is found.entropy is None
        return
    positive /= positive.max()
    ordered, count = np.sort(positive), len(positive)
    gini = ((2 * np.arange(1, count + 1) - count - 1) * ordered).sum() / (count * ordered.sum())
    entropy = stats.entropy(positive) / np.log(count)
    assert (exact.gini, exact.entropy) == pytest.approx((gini, entropy), abs=1e-6)
    assert (found.gini, found.entropy) == pytest.approx((gini, entropy), abs=5e-3)


def test_both_ways_are_taken_and_bins_are_what_they_say():
    mask = np.zeros((120, 160), bool)
    mask[20:70, 30:90] = True
    sorted_too = {name for name, grid in maps()
                  if thresholds(upscale(grid, (160, 120)), mask, tolerance=np.inf).bound > TOLERANCE}  # fmt: skip
    assert {"peak", "long_tail"} <= sorted_too
    assert not {"coarse", "half_zero"} & sorted_too
    # A map of levels that are whole steps loses nothing: 129 divides BINS - 1.
    heat = upscale(np.random.default_rng(0).integers(0, 130, (120, 160)).astype(float), (160, 120))
    assert (BINS - 1) % 129 == 0
    rough, exact = thresholds(heat, mask, tolerance=np.inf), thresholds(heat, mask, tolerance=-1)
    assert rough.pixel_ap == pytest.approx(exact.pixel_ap, abs=1e-12)


def test_boxes_count_as_their_union_and_a_point_has_none():
    grid = np.random.default_rng(1).random((6, 10))
    boxes = Region.from_boxes(np.array([[2, 2, 9, 8], [5, 4, 15, 11]]), (WIDTH, HEIGHT))
    (of_boxes,) = observe(cases_of(grid[None], (WIDTH, HEIGHT), [boxes]))
    assert {name: of_boxes[name] for name in FIELDS} == fields_of(grid, boxes.mask)
    (point,) = observe(cases_of(np.array([[3.0, 4.0]]), (WIDTH, HEIGHT), [boxes]))
    assert {point[name] for name in FIELDS} == {None}


def test_what_describes_a_map_ranks_no_method():
    scores = {score.name: score for measure in MAP_MEASURES for score in measure.scores}
    assert not scores["gini"].ranked
    assert not scores["entropy"].ranked
    assert scores["pixel_ap"].ranked
    assert not any(scores[name].less_is_better for name in FIELDS[:3])
