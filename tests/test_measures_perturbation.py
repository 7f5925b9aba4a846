"""Deletion, insertion, average drop, single deletion: against loops in float64; maps and classes that degenerate."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage, stats
from torch import nn

from eval.measures.average_drop import AverageDrop
from eval.measures.idsds import IDSDS, SingleDeletion
from eval.measures.infidelity import Infidelity
from eval.measures.perturbation import Deletion, Insertion, blurred
from eval.measures.ranking import ranks
from tests.measure_cases import SIDE, cases, heat, picture
from tests.small_network import classifier, network

CLOSE = {"abs": 2e-6}


def value(measure, rows, name=None):
    score = next(each for each in measure.scores if name in (None, each.name))
    return score.value(pd.DataFrame(rows), None)


def probability(net, image, target):
    """Softmax in float64, one picture a pass."""
    with torch.no_grad():
        output = net.network(((image - 0.5) / 0.25)[None]).double().numpy()[0]
    return np.exp(output[target] - output.max()) / np.exp(output - output.max()).sum()


def resized(grid, side=SIDE):
    stretched = torch.nn.functional.interpolate(torch.tensor(grid)[None, None], (side, side), mode="bilinear")
    return stretched[0, 0].numpy()


def loop(case, start, end, step):
    """One pixel after another in Python, most important first."""
    values, curve, now = resized(case.grid).ravel(), [], start.clone()
    places = sorted(range(values.size), key=lambda place: (-values[place], place))
    curve.append(probability(case.classifier, now, case.target))
    for at in range(0, len(places), step):
        for place in places[at : at + step]:
            now[:, place // SIDE, place % SIDE] = end[:, place // SIDE, place % SIDE]
        curve.append(probability(case.classifier, now, case.target))
    return curve


@pytest.mark.parametrize("step", [37, 128, 5000])
def test_deletion_is_the_loop_over_pixels(step):
    pair = cases([heat(0), heat(1)])
    actual = Deletion(step=step, batch=7).observe(pair)
    grey = torch.full_like(pair[0].image, 0.5)  # the mean colour of this classifier
    for case, row in zip(pair, actual, strict=True):
        assert row["curve"] == pytest.approx(loop(case, case.image, grey, step), **CLOSE)
    curve = np.array(actual[0]["curve"])
    widths = np.diff(np.minimum(np.arange(len(curve)) * step, SIDE**2)) / SIDE**2  # the last step may be shorter
    assert value(Deletion(), actual)[0] == pytest.approx((widths * (curve[1:] + curve[:-1]) / 2).sum())


def test_insertion_is_the_loop_from_the_blurred_picture():
    (case,) = cases([heat(2)])
    point = np.zeros((11, 11))
    point[5, 5] = 1
    kernel = ndimage.gaussian_filter(point, 5)
    normal = (case.image.double().numpy() - 0.5) / 0.25
    soft = np.stack([ndimage.convolve(channel, kernel, mode="constant") for channel in normal]) * 0.25 + 0.5
    assert blurred(case.image, case.classifier).numpy() == pytest.approx(soft, abs=1e-5)
    white = blurred(torch.ones(3, 32, 32), case.classifier)
    assert white[0, 0, 0] < 0.7 < 0.999 < white[0, 16, 16], "towards the border it fades into the mean colour"
    start = torch.tensor(soft, dtype=torch.float32)
    (row,) = Insertion(step=100).observe([case])
    assert row["curve"] == pytest.approx(loop(case, start, case.image, 100), **CLOSE)


def test_a_picture_smaller_than_the_blur_kernel_is_blurred():
    soft = blurred(picture(height=5, width=3), classifier())
    assert soft.shape == (3, 5, 3)
    assert torch.isfinite(soft).all()


def test_ties_go_row_by_row_and_a_constant_map_has_no_order():
    assert ranks(cases([np.ones((4, 4))])[0]) is None
    (case,) = cases([[[1.0, 1.0], [0.0, 0.0]]])
    places = ranks(case).numpy()
    top = places[:8].ravel()
    assert (np.sort(top) == np.arange(top.size)).all()
    assert (np.diff(top) > 0).all(), "a plateau is deleted row by row"
    for measure in (Deletion(), Insertion()):
        rows = measure.observe(cases([np.full((7, 7), -3.0), heat(0)]))
        assert rows[0]["curve"] is None
        assert rows[1]["curve"] is not None
        assert np.isnan(value(measure, rows)).tolist() == [True, False]


def test_the_scale_of_a_map_changes_nothing_even_below_zero():
    grid = heat(4)
    lowered = [grid, 1e-9 * grid - 1e-7, 100 * grid - 1e4]
    one, *others = Deletion().observe(cases(lowered, targets=[2, 2, 2]))
    assert all(other == one for other in others)
    one, *others = AverageDrop().observe(cases(lowered, targets=[2, 2, 2]))
    for other in others:
        assert other["explained"] == pytest.approx(one["explained"], abs=1e-5)


def test_annotated_and_predicted_class():
    net = classifier()
    with torch.no_grad():
        first = int(net.network(net.normalise(picture())).argmax())
    other = (first + 1) % 5
    annotated, predicted = (Deletion(target=t).observe(cases([heat(0)], net=net, targets=[other]))[0]["curve"]
                        for t in ("annotated", "predicted"))  # fmt: skip
    same = Deletion().observe(cases([heat(0)], net=net, targets=[first]))[0]["curve"]
    assert predicted == same != annotated
    blank = Insertion(target="predicted").observe(cases([heat(0)], net=net, targets=[other]))[0]["curve"]
    assert blank[-1] == pytest.approx(predicted[0]), "the picture itself says what is predicted, wherever it stands"


def test_classes_of_several_outputs_and_score_maps():
    class Spatial(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()[:3]
            self.last = nn.Conv2d(12, 6, 1)

        def forward(self, x):
            return self.last(self.net(x))

    torch.manual_seed(0)
    net = classifier(Spatial(), layers=("net.2",), outputs=[[0], [1, 2], [3], [4], [5]])
    with torch.no_grad():
        scores = net.network(net.normalise(picture())).double()[0].flatten(1).exp()
    for kind, expected in (
        ("softmax", scores[1:3].sum() / scores.sum()),
        ("sigmoid", torch.sigmoid((scores[1:3].sum() / 16).log())),
    ):
        (row,) = AverageDrop(probability=kind).observe(cases([heat(0)], net=net, targets=[1]))
        assert row["whole"] == pytest.approx(float(expected), **CLOSE)


def test_a_class_of_probability_zero_is_counted_and_left_out():
    net = network()
    with torch.no_grad():
        net[-1].bias[3] -= 1e4
    pair = cases([heat(0), heat(1)], net=classifier(net), targets=[3, 1])
    rows = AverageDrop().observe(pair)
    assert rows[0]["whole"] == rows[0]["explained"] == 0
    assert np.isnan(value(AverageDrop(), rows)).tolist() == [True, False]
    assert value(AverageDrop(), rows, "average_increase")[0] == 0
    assert set(Deletion().observe(pair)[0]["curve"]) == {0.0}


def test_average_drop_by_hand():
    (case,) = cases([heat(5)], targets=[2])
    (row,) = AverageDrop().observe([case])
    weights = resized((case.grid - case.grid.min()) / np.ptp(case.grid))
    weights = (weights - weights.min()) / np.ptp(weights)
    part = probability(case.classifier, case.image * torch.tensor(weights, dtype=torch.float32), 2)
    whole = probability(case.classifier, case.image, 2)
    assert (row["whole"], row["explained"]) == (pytest.approx(whole, **CLOSE), pytest.approx(part, **CLOSE))
    assert value(AverageDrop(), [row])[0] == pytest.approx(max(0, whole - part) / whole, abs=1e-5)
    rows = [{"whole": 0.5, "explained": 0.2}, {"whole": 0.2, "explained": 0.5}, {"whole": 0.5, "explained": None}]
    assert value(AverageDrop(), rows) == pytest.approx([0.6, 0, np.nan], nan_ok=True)
    assert value(AverageDrop(), rows, "average_increase") == pytest.approx([0, 1, np.nan], nan_ok=True)


def test_single_deletion_against_scipy():
    (case,) = cases([heat(6)], image=picture(height=30, width=33), targets=[4])
    (row,) = SingleDeletion().observe([case])
    stretched = torch.nn.functional.interpolate(torch.tensor(case.grid)[None, None], (30, 33), mode="bilinear")[0, 0]
    sums, drops = [], []
    with torch.no_grad():
        before = case.classifier.network((case.image[None] - 0.5) / 0.25)[0, 4]
        for y in range(4):
            for x in range(4):
                part = slice(y * 30 // 4, (y + 1) * 30 // 4), slice(x * 33 // 4, (x + 1) * 33 // 4)
                sums.append(float(stretched[part].sum()))
                hidden = case.image.clone()
                hidden[(slice(None), *part)] = 0.5
                drops.append(float(before - case.classifier.network((hidden[None] - 0.5) / 0.25)[0, 4]))
    assert row["sums"] == pytest.approx(sums, abs=1e-4)
    assert row["drops"] == pytest.approx(drops, abs=1e-6)
    assert value(SingleDeletion(), [row])[0] == pytest.approx(stats.spearmanr(row["sums"], row["drops"]).statistic)
    rows = [row, {"sums": None, "drops": None}, {"sums": row["sums"], "drops": [0.0] * 16}]
    assert np.isnan(value(SingleDeletion(), rows)).tolist() == [False, True, True]
    assert SingleDeletion().observe(cases([np.zeros((7, 7))]))[0] == {"sums": None, "drops": None}


def test_a_curve_costs_its_points_and_nothing_else():
    net = classifier()
    for measure, passes in ((Deletion(step=37), 2 * 29), (AverageDrop(), 3), (SingleDeletion(), 17)):
        before = net.images_seen
        measure.observe(cases([heat(0), heat(1)], net=net))
        assert net.images_seen - before == passes


def test_areas_are_trapezes_over_the_true_share_of_pixels():
    curves = np.random.default_rng(0).random((4, 29))
    even = [{"curve": curve.tolist(), "step": 1 / 28} for curve in curves]
    assert value(Deletion(), even) == pytest.approx(np.trapezoid(curves, np.linspace(0, 1, 29), axis=1))
    # 256 x 256 pixels in steps of 1792: 36 whole steps and one of 1024.
    shorter = np.linspace(1, 0, 38) ** 2
    places = np.minimum(np.arange(38) * 1792, 65536) / 65536
    mixed = [*even[:2], {"curve": shorter.tolist(), "step": 1792 / 65536}, {"curve": None, "step": None}]
    actual = value(Deletion(), mixed)
    assert actual[2] == pytest.approx(np.trapezoid(shorter, places))
    assert actual[:2] == pytest.approx(value(Deletion(), even)[:2])
    assert np.isnan(actual[3])
    at, lines = Deletion.scores[0].curve.points(pd.DataFrame(mixed))
    assert at == pytest.approx(places)
    assert lines[2] == pytest.approx(shorter)
    assert lines[0] == pytest.approx(np.interp(places, np.linspace(0, 1, 29), curves[0]))
    assert np.isnan(lines[3]).all()


def test_curves_of_pictures_of_two_sizes_share_a_table():
    rows = [
        Deletion(step=100).observe(cases([heat(0)], image=picture(height=height)))[0] for height in (SIDE, SIDE + 8)
    ]
    assert [len(row["curve"]) for row in rows] == [1 + 11, 1 + 13]
    assert [row["step"] for row in rows] == [100 / 1024, 100 / 1280]
    ends = [np.append(np.arange(len(row["curve"]) - 1) * row["step"], 1) for row in rows]
    wanted = [np.trapezoid(row["curve"], end) for row, end in zip(rows, ends, strict=True)]
    assert value(Deletion(), rows) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Deletion(step=0), "step is 0"),
        (lambda: Deletion(substrate="gray"), "substrate is 'gray'; known are mean"),
        (lambda: Insertion(target="other"), "target is 'other'"),
        (lambda: Deletion(probability="max"), "probability is 'max'; known are softmax, sigmoid"),
        (lambda: IDSDS(cells=1, fine_tuned=True), "cells is 1"),
        (lambda: IDSDS(), "on others it is called measure=single_deletion"),
        (lambda: Infidelity(draws=1), "draws is 1"),
        (lambda: Infidelity(sides=[40]).observe(cases([heat(0)])), "a square of 40 pixels does not fit into the input"),
        (lambda: Deletion(batch=0).observe(cases([heat(0)])), "batch is 0"),
    ],
)
def test_settings_that_mean_nothing_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
