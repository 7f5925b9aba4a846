"""The same rows whatever the division of the work: repeats, shards, resume, worker processes, batches."""

import pytest
import torch

from baselines.cam import CAM, FORMULAS, GradCAMPlusPlus
from eval.networks.classifier import Classifier
from eval.running import runner
from eval.running.build import build_method
from eval.running.config import load
from scripts import determinism
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
    monkeypatch.setattr(runner, "FEW", 1)
    calls, threads = determinism.variants(8)[name]
    other = determinism.rows(tmp_path, calls, threads, COMMON)
    assert len(reference) > 8
    assert determinism.compare(reference, other) == (0, 0, 0.0)


def test_batches_move_no_point(reference, tmp_path):
    other = determinism.rows(tmp_path, *determinism.variants(8)["batches of 4 pictures"], COMMON)
    _, points, largest = determinism.compare(reference, other)
    assert points == 0
    assert largest < 1e-3


def test_a_difference_would_be_seen(reference):
    pair = next(iter(reference))
    moved = reference | {pair: reference[pair] | {"x": reference[pair]["x"] + 1, "energy": 0.5}}
    different, points, largest = determinism.compare(reference, moved)
    assert (different, points) == (1, 1)
    assert largest >= 1
    with pytest.raises(RuntimeError, match="1 pairs are in one run only"):
        determinism.compare(reference, {other: row for other, row in reference.items() if other != pair})


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_cam_asked_about_several_pictures_at_once_answers_as_for_each_alone(formula):
    torch.manual_seed(3)
    classes = [str(number) for number in range(20)]
    classifier = Classifier(tiny(), [0.5] * 3, [0.2] * 3, {"cam": ["0", "1"]}, classes)
    method = GradCAMPlusPlus(classifier) if formula == "GradCAMPlusPlus" else CAM(classifier, formula)
    images = torch.rand(4, 3, 32, 32)
    targets = [torch.tensor(asked) for asked in ([3], [1, 0, 7], [4, 2], [19])]
    together = method.many(images, targets, [0] * 4)
    assert classifier.images_seen == 4
    assert len(together) == 4
    for image, asked, maps in zip(images, targets, together, strict=True):
        torch.testing.assert_close(maps, method(image, asked), rtol=1e-4, atol=1e-6)
    assert build_method(load(["method=gradcam"]).method, classifier, classes).many
