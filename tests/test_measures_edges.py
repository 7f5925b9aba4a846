"""Maps, classes and pictures at the edge, for every measure that needs the network: nothing raises, nothing is NaN."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage

from eval.measures.average_drop import AverageDrop
from eval.measures.gpnn_deletion import GpnnDeletion
from eval.measures.idsds import SingleDeletion
from eval.measures.infidelity import Infidelity
from eval.measures.perturbation import Deletion, Insertion
from eval.measures.randomisation import Randomisation
from eval.measures.ranking import ranks
from eval.measures.road import ROAD, removals
from eval.measures.stability import MaxSensitivity, Stability
from tests.measure_cases import cases, heat, picture
from tests.small_network import classifier, network


def grey_fill(image, masks, seed):
    size = (len(masks), image.shape[1] - 6, image.shape[2] - 6, 2)
    return SimpleNamespace(pixels=torch.where(masks[:, None], 0.5, image), field=torch.zeros(size, dtype=torch.int32))


OF_ONE_MAP = (Deletion(step=100), Insertion(step=100), ROAD(), GpnnDeletion(grey_fill), AverageDrop(),
              SingleDeletion())  # fmt: skip
SQUARES = Infidelity(draws=9, sides=(5, 8))  # a map's zero means something to it
CALLING = (Stability(seeds=2), MaxSensitivity(draws=2), Randomisation(most=2))


def scores(measure, row):
    """The row's number of each score, read as of a table of one row."""
    frame = pd.DataFrame([row | {"x": 0.0, "y": 0.0}])
    return {score.name: float(score.value(frame, None)[0]) for score in measure.scores}


def named(measure):
    return measure.name


def numbers(row):
    """All numbers of a row, lists flattened, without None."""
    found = [each if isinstance(each, list) else [each] for each in row.values()]
    return [value for each in found for value in each if isinstance(value, float)]


@pytest.mark.parametrize("measure", [*OF_ONE_MAP, SQUARES], ids=named)
def test_a_constant_map_has_no_score_and_leaves_those_beside_it_alone(measure):
    net = classifier()
    (alone,) = measure.observe(cases([heat(0)], net=net, targets=[1]))
    constant, beside = measure.observe(cases([np.full((5, 5), -2.0), heat(0)], net=net, targets=[0, 1]))
    assert scores(measure, beside) == pytest.approx(scores(measure, alone), abs=1e-6, nan_ok=True)
    assert np.isnan(list(scores(measure, constant).values())).all()
    assert np.isfinite(numbers(constant)).all()


@pytest.mark.parametrize("measure", OF_ONE_MAP, ids=named)
def test_a_map_below_zero_scores_as_the_same_map_above_zero(measure):
    grid = heat(4)
    above, below = (grid - grid.min() + 1) / 8, (grid - grid.max() - 1) / 8
    one, other = (scores(measure, measure.observe(cases([each], targets=[2]))[0]) for each in (above, below))
    assert other == pytest.approx(one, abs=1e-5, nan_ok=True)
    assert not np.isnan(other[measure.name])


@pytest.mark.parametrize("measure", [*OF_ONE_MAP, SQUARES], ids=named)
def test_a_tied_map_scores_the_same_every_time(measure):
    grid = np.floor(heat(6))
    assert len(np.unique(grid)) < 7
    one, other = (measure.observe(cases([grid], targets=[2]))[0] for _ in range(2))
    assert one == other
    assert np.isfinite(numbers(one)).all()


def test_of_tied_pixels_the_first_rows_are_removed_first_and_the_last_rows_as_least_important():
    (case,) = cases([[[1.0, 1.0], [0.0, 0.0]]])  # a plateau of 8 rows above, one of 8 rows below
    most, _, least, _ = removals(ranks(case), (0.125, 0.25))
    assert most[:4].all()
    assert not most[4:].any()
    assert least[28:].all()
    assert not least[:28].any()


@pytest.mark.parametrize("measure", [*OF_ONE_MAP, SQUARES], ids=named)
def test_a_class_of_probability_zero_has_numbers(measure):
    net = network()
    with torch.no_grad():
        net[-1].bias[3] -= 1e4
    (row,) = measure.observe(cases([heat(0)], net=classifier(net), targets=[3]))
    assert np.isfinite(numbers(row)).all()
    found = scores(measure, row)[measure.name]
    if measure.name == "average_drop":
        assert np.isnan(found), "nothing to lose is no share that is lost"
    elif measure.name in ("single_deletion", "infidelity"):
        assert abs(found) > (0.05 if measure.name == "single_deletion" else 1e-8), "logits, not probabilities"
    else:
        assert found == 0


@pytest.mark.parametrize("measure", CALLING, ids=named)
@pytest.mark.parametrize("level", [0.0, -3.0])
def test_a_method_whose_maps_are_constant_has_no_score_but_how_far_it_moved(measure, level):
    def method(image, targets, seed):
        return np.full((len(targets), 16, 16), level)

    net = classifier()
    (row,) = measure.observe(cases(method(None, [0], 0), net=net, method=method))
    found = scores(measure, row)
    still = {"stability"} | ({"max_sensitivity"} if level else set())  # the centre, and a map that has a norm
    assert {name for name, each in found.items() if np.isfinite(each)} == still & found.keys()
    assert all(found[name] == 0 for name in still & found.keys())


def test_insertion_into_a_picture_smaller_than_the_blur():
    image, net = picture(height=8, width=9), classifier()
    (case,) = cases([heat(1, 4)], image=image, net=net, targets=[1], box=(1, 1, 5, 5))
    (row,) = Insertion(step=20).observe([case])
    point = np.zeros((11, 11))
    point[5, 5] = 1
    kernel = ndimage.gaussian_filter(point, 5)
    normal = (image.double().numpy() - 0.5) / 0.25
    soft = np.stack([ndimage.convolve(channel, kernel, mode="constant") for channel in normal])
    with torch.no_grad():
        ends = net.network(torch.tensor(np.stack([soft, normal]), dtype=torch.float32)).double().softmax(1)[:, 1]
    assert len(row["curve"]) == 1 + 4
    assert [row["curve"][0], row["curve"][-1]] == pytest.approx(ends.tolist(), abs=2e-6)
