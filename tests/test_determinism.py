"""The same rows whatever the division of the work: repeats, shards, resume, worker processes, batches."""

import time

import pytest
import torch

from baselines.cam import CAM, FORMULAS, GradCAMPlusPlus
from eval.networks.classifier import Classifier
from eval.running import evaluation
from eval.running.build import build_method
from eval.running.config import load
from scripts.maintain import determinism
from tests.bad_input import TINY, tiny

COMMON = ["dataset=demo", *TINY, "compare=false", "workers=0", "device=cpu", "limit=8"]


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    return determinism.rows(tmp_path_factory.mktemp("reference"), [[]], 1, COMMON)


@pytest.fixture(autouse=True)
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


EQUAL = [
    name for name in determinism.variants(8) if "batches" not in name and "threads" not in name and "GPU" not in name
]


@pytest.mark.parametrize("name", EQUAL)
def test_rows_are_equal_to_the_last_bit(reference, tmp_path, monkeypatch, name):
    monkeypatch.setattr(evaluation, "FEW", 1)
    calls, threads = determinism.variants(8)[name]
    other = determinism.rows(tmp_path, calls, threads, COMMON)
    assert len(reference) > 8
    assert determinism.differences(reference, other) == (0, 0, 0.0)


def test_batches_move_no_point(reference, tmp_path):
    other = determinism.rows(tmp_path, *determinism.variants(8)["batches of 4 pictures"], COMMON)
    _, points, largest = determinism.differences(reference, other)
    assert points == 0
    assert largest < 1e-3


def test_a_difference_would_be_seen(reference):
    pair = next(iter(reference))
    moved = reference | {pair: reference[pair] | {"x": reference[pair]["x"] + 1, "energy": 0.5}}
    different, points, largest = determinism.differences(reference, moved)
    assert (different, points) == (1, 1)
    assert largest >= 1
    with pytest.raises(RuntimeError, match="1 pairs are in one run only"):
        determinism.differences(reference, {other: row for other, row in reference.items() if other != pair})


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_cam_of_several_pictures_at_once_answers_as_for_each_alone(formula):
    torch.manual_seed(3)
    classes = [str(number) for number in range(20)]
    classifier = Classifier(tiny(), [0.5] * 3, [0.2] * 3, {"cam": ["0", "1"]}, classes)
    method = GradCAMPlusPlus(classifier) if formula == "GradCAMPlusPlus" else CAM(classifier, formula)
    images = torch.rand(4, 3, 32, 32)
    targets = [torch.tensor(labels) for labels in ([3], [1, 0, 7], [4, 2], [19])]
    together = method.many(images, targets, [0] * 4)
    assert classifier.images_seen == 4
    assert len(together) == 4
    for image, labels, maps in zip(images, targets, together, strict=True):
        torch.testing.assert_close(maps, method(image, labels), rtol=1e-4, atol=1e-6)
    assert build_method(load(["method=gradcam"]).method, classifier, classes).many


CALM = ["gradcam", "the same again", "40", "0", "0", "0"]


@pytest.mark.parametrize(
    ("variant", "counts", "status"),
    [
        ("the same again", (0, 0, 0.0), 0),
        ("two threads", (2, 0, 1e-6), 0),
        ("two threads", (1, 1, 3.0), 1),
        ("three shards", (1, 0, 1e-6), 1),
        ("three shards", (1, 1, 1.0), 1),
    ],
)
def test_the_script_fails_when_a_point_moves_or_a_row_that_may_not(monkeypatch, capsys, variant, counts, status):
    monkeypatch.setattr(evaluation, "FEW", evaluation.FEW)
    lines = [("the same again", 40, 0, 0, 0.0), (variant, 40, *counts)]
    monkeypatch.setattr(determinism, "measured", lambda common, pictures: iter(lines))
    assert determinism.main(["--method", "gradcam"]) == status
    shown = capsys.readouterr()
    assert CALM in [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.out.splitlines()]
    assert (f"error: gradcam, {variant}: {counts[0]} rows and {counts[1]} points differ" in shown.err) == bool(status)


def test_a_method_that_draws_from_the_clock_is_found_out(monkeypatch, tmp_path):
    """The script's own way to its table, on a method whose maps no seed decides."""
    monkeypatch.setattr(determinism, "variants", lambda pictures: {"the same again": ([[]], 1)})
    blind = ["method=custom", "method.blind=true", "method.build._target_=tests.test_determinism.unseeded", "limit=6"]
    common = ["dataset=demo", *blind, "method.name=clock", "workers=0", "device=cpu"]
    ((name, count, different, points, _),) = determinism.measured(common, 6)
    assert count == different == points > 6
    assert determinism.moved(name, different, points)


def unseeded(sample, targets, classes):
    return torch.rand(len(targets), 7, 7, generator=torch.Generator().manual_seed(time.monotonic_ns()))
