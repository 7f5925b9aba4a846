"""ADCC and infidelity: by hand, against autograd-free second implementations, captum and pytorch-grad-cam."""

import numpy as np
import pandas as pd
import pytest
import torch

from eval.game.pointing import upscale
from eval.measures.adcc import ADCC
from eval.measures.infidelity import Infidelity
from tests.measure_cases import cases, heat, picture
from tests.small_network import classifier


def value(measure, rows, name=None):
    score = next(score for score in measure.scores if score.name == (name or measure.name))
    return score.value(pd.DataFrame(rows), None)


def brightness(image, targets, seed):
    assert seed == 5, "the method's own seed stays"
    return image.mean(0).double().cpu().numpy()[None].repeat(len(targets), 0)


def test_adcc_against_its_formula():
    image, net = picture(), classifier()
    one, other = cases([brightness(image, [0], 5)[0], heat(3)], image=image, net=net, targets=[2, 4], method=brightness)
    rows = ADCC().observe([one, other])
    for row, case in zip(rows, (one, other), strict=True):
        cam = upscale(case.grid, (32, 32)).values
        cam = (cam - cam.min()) / (cam.max() - cam.min())
        hidden = image * torch.tensor(cam, dtype=torch.float32)
        with torch.no_grad():
            y, o = (
                net.network((each[None] - 0.5) / 0.25).softmax(1)[0, case.target].item() for each in (image, hidden)
            )
        again = hidden.mean(0).double().numpy()
        coherency = (1 + np.corrcoef(cam.ravel(), again.ravel())[0, 1]) / 2
        drop = max(0, y - o) / y
        found = [value(ADCC(), [row], name)[0] for name in ("adcc_coherency", "adcc_complexity", "adcc_drop")]
        assert found == pytest.approx([coherency, cam.mean(), drop], abs=1e-5)
        expected = 3 / (1 / coherency + 1 / (1 - cam.mean()) + 1 / (1 - drop))
        assert value(ADCC(), [row])[0] == pytest.approx(expected, abs=1e-5)


def test_adcc_against_the_parts_of_pytorch_grad_cam():
    arcc = pytest.importorskip("pytorch_grad_cam.metrics.arcc")
    image = picture()
    (case,) = cases([heat(3)], image=image, method=brightness)
    (row,) = ADCC().observe([case])
    cam = upscale(case.grid, (32, 32)).values
    cam = ((cam - cam.min()) / (cam.max() - cam.min()))[None]
    assert row["complexity"] == pytest.approx(arcc.Complexity()(cam)[0], abs=1e-6)

    def method(input_tensor, targets):  # a library's method scales its maps from 0 to 1
        maps = input_tensor.mean(1).double().numpy()
        return (maps - maps.min()) / (maps.max() - maps.min())

    theirs = arcc.Coherency()(image[None].double(), cam, [None], None, method)[0]
    assert row["coherency"] == pytest.approx(theirs, abs=1e-6)


def test_adcc_at_its_ends():
    good = {"whole": 0.5, "explained": 0.7, "coherency": 1.0, "complexity": 0.0}
    rows = [good, good | {"explained": 0.25}, good | {"coherency": 0.0}, good | {"complexity": 1.0},
            good | {"explained": 0.0}, good | {"whole": 0.0, "explained": 0.0}, good | {"coherency": None}]  # fmt: skip
    assert value(ADCC(), rows) == pytest.approx([1, 3 / 4, 0, 0, 0, np.nan, np.nan], nan_ok=True)
    assert value(ADCC(), rows, "adcc_drop") == pytest.approx([0, 0.5, 0, 0, 1, np.nan, 0], nan_ok=True)
    assert np.isnan(value(ADCC(), [{"x": 1.0}])).all(), "rows that nobody observed"
    for level in (0.0, 1.0):
        constant = lambda image, targets, seed, level=level: np.full((1, 4, 4), level)  # noqa: E731
        (row,) = ADCC().observe(cases([heat(3)], method=constant))
        assert row["coherency"] == 0.5, "a method that shows nothing afterwards neither agrees nor contradicts"
    (row,) = ADCC().observe(cases([heat(3)]))
    assert row["coherency"] is None
    assert row["complexity"] > 0


def test_infidelity_against_captum():
    metrics = pytest.importorskip("captum.metrics")
    image, net = picture(), classifier()
    (case,) = cases([heat(6)], image=image, net=net, targets=[3])
    measure = Infidelity(draws=20, sides=(5, 9))
    (row,) = measure.observe([case])
    squares = torch.tensor(np.stack(measure.squares((32, 32), case.seed)))
    assert {int(square.sum()) for square in squares} == {25, 81}
    heat_map = torch.tensor(upscale(case.grid, (32, 32)).values).expand(1, 3, 32, 32)

    def perturbed(inputs):
        count = len(inputs)
        masks = squares[:count, None]
        # Three equal channels of a third each make the map's one; the network gets the picture without the squares.
        return masks.double().expand(-1, 3, -1, -1) / 3, torch.where(masks, torch.zeros_like(normal), normal)

    normal = (image[None].double() - 0.5) / 0.25
    network = net.network.double()
    with torch.no_grad():
        theirs = metrics.infidelity(
            lambda x: network(x)[:, 3], perturbed, normal, heat_map, n_perturb_samples=20, normalize=True
        )
    network.float()
    assert value(measure, [row])[0] == pytest.approx(float(theirs[0]), rel=1e-4)
    fallen = np.array(row["fallen"])
    assert value(measure, [row], "infidelity_share")[0] == pytest.approx(
        float(theirs[0]) / (fallen**2).mean(), rel=1e-4
    )


def test_infidelity_of_a_map_that_is_the_score_is_nothing_and_its_scale_is_free():
    draw = np.random.default_rng(0)
    drops = draw.normal(size=(1, 12))
    for scale in (1.0, -3.0, 1e-6):
        row = {"removed": (scale * drops[0]).tolist(), "fallen": drops[0].tolist()}
        assert value(Infidelity(), [row])[0] == pytest.approx(0, abs=1e-12)
    blind = {"removed": [0.0] * 12, "fallen": drops[0].tolist()}
    rows = [blind, {"removed": None, "fallen": None}, {"removed": [1.0] * 12, "fallen": [0.0] * 12}]
    assert value(Infidelity(), rows) == pytest.approx([(drops**2).mean(), np.nan, 0], nan_ok=True)
    assert value(Infidelity(), rows, "infidelity_share") == pytest.approx([1, np.nan, np.nan], nan_ok=True)


def test_squares_are_the_pictures_own_and_shared_by_its_classes():
    net = classifier()
    measure = Infidelity(draws=6, sides=(4,))
    both = cases([heat(0), heat(1)], net=net, targets=[0, 1])
    before = net.images_seen
    one, other = measure.observe(both)
    assert net.images_seen - before == 7
    assert one["fallen"] != other["fallen"]
    (alone,) = measure.observe(both[1:])
    assert all(alone[name] == pytest.approx(other[name], abs=1e-6) for name in measure.fields)
    assert not np.array_equal(measure.squares((32, 32), 5), measure.squares((32, 32), 6))
