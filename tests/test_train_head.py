"""Training a head for VOC: labels, split, regression and precision against second implementations; the command from a
devkit to a network that answers."""

import re

import numpy as np
import pytest
import torch
from safetensors import safe_open
from sklearn.linear_model import LogisticRegression

from eval.datasets.voc import CLASSES, VOC
from eval.running.build import build_classifier
from eval.running.config import load
from scripts.train_head import features as caching
from scripts.train_head.__main__ import main
from scripts.train_head.fit import fitted, mean_average_precision
from scripts.train_head.labels import test_labels as labels_of_test
from scripts.train_head.labels import trainval_labels, validation
from tests import voc_devkit


def lists(folder, truth, keys):
    """CLASS_trainval.txt in the genuine layout; truth: (N,C)."""
    for name, column in zip(CLASSES, truth.T, strict=True):
        (folder / f"{name}_trainval.txt").write_text(
            "".join(f"{k} {v:2d}\n" for k, v in zip(keys, column, strict=True))
        )


def contents(path):
    with safe_open(path, "pt") as opened:
        return opened.get_tensor("weight"), opened.metadata()


@pytest.fixture
def devkit(tmp_path):
    annotations = voc_devkit.random_annotations(14)
    root = voc_devkit.write(tmp_path, annotations)
    truth = np.random.default_rng(0).choice([1, 0, -1], (14, 20), p=[0.4, 0.1, 0.5]).astype(np.int8)
    lists(root / "VOC2007" / "ImageSets" / "Main", truth, [each["key"] for each in annotations])
    return root, annotations, truth


def test_labels_are_read_as_they_are_written(devkit):
    root, annotations, truth = devkit
    keys, read = trainval_labels(root / "VOC2007" / "ImageSets" / "Main", CLASSES)
    assert keys == [each["key"] for each in annotations]
    np.testing.assert_array_equal(read, truth)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("000001  2\n", "line 1: '000001  2' is no picture"),
        ("000001\n", "line 1: '000001' is no picture"),
        ("000001 1\n000001 1\n", "line 2: '000001 1' is no picture, once"),
        ("000001 1\n", "is about other pictures than aeroplane_trainval.txt"),
        ("", "is about other pictures"),
    ],
)
def test_labels_that_cannot_be_meant(devkit, text, why):
    main_folder = devkit[0] / "VOC2007" / "ImageSets" / "Main"
    (main_folder / "dog_trainval.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape("dog_trainval.txt") + f".*{re.escape(why)}"):
        trainval_labels(main_folder, CLASSES)
    (main_folder / "dog_trainval.txt").unlink()
    with pytest.raises(FileNotFoundError, match="dog_trainval"):
        trainval_labels(main_folder, CLASSES)


def test_labels_of_annotations_with_boxes(devkit):
    root, annotations, _ = devkit
    truth = labels_of_test(VOC(root))
    for row, annotation in zip(truth, annotations, strict=True):
        for name, value in zip(CLASSES, row, strict=True):
            flags = [hard for label, _, hard in annotation["objects"] if label == name]
            assert value == (-1 if not flags else 0 if all(flags) else 1)
    assert {-1, 0, 1} == set(truth.ravel().tolist())


def test_the_devkits_own_split_or_one_by_hash(tmp_path):
    keys = [f"{number:06d}" for number in range(400)]
    drawn, words = validation(tmp_path, keys, 0)
    assert 60 < drawn.sum() < 140
    assert "SHA-256 of '0:KEY'" in words
    assert (validation(tmp_path, keys[::-1], 0)[0] == drawn[::-1]).all(), "whatever the order"
    assert (validation(tmp_path, keys, 1)[0] != drawn).any()
    (tmp_path / "train.txt").write_text("\n".join(keys[:300]))
    assert (validation(tmp_path, keys, 0)[0] == drawn).all(), "half of a split is none"
    (tmp_path / "val.txt").write_text("\n".join(keys[300:]))
    assert np.flatnonzero(validation(tmp_path, keys, 0)[0]).tolist() == list(range(300, 400))
    (tmp_path / "val.txt").write_text("\n".join(keys[299:]))
    with pytest.raises(ValueError, match="do not divide"):
        validation(tmp_path, keys, 0)


def test_the_regression_is_scikit_learns_class_by_class():
    """C = 1 / (n penalty): theirs is a sum over pictures, the one here a mean."""
    rng = np.random.default_rng(0)
    features = (rng.normal(size=(200, 6)) * [1, 9, 0.1, 1, 1, 0] + 3).astype(np.float32)
    inner = features[:, :3] @ rng.normal(size=(3, 3)) + rng.normal(size=(200, 3))
    truth = np.where(inner > inner.mean(0) + 2, 1, -1)
    truth[rng.random(truth.shape) < 0.2] = 0
    standard = (features - features.mean(0)) / np.where(features.std(0) == 0, 1, features.std(0))
    cold = fitted(features, truth, 0.01)
    for head in (cold, fitted(features, truth, 0.01, start=fitted(features, truth, 1.0))):
        for column in range(3):
            known = truth[:, column] != 0
            theirs = LogisticRegression(C=1 / (known.sum() * 0.01), tol=1e-8, max_iter=5000)
            theirs.fit(standard[known], truth[known, column])
            expected = theirs.decision_function(standard)
            np.testing.assert_allclose(head.scores(features)[:, column], expected, atol=0.02)


def test_average_precision_by_voc2007s_definition():
    rng = np.random.default_rng(0)
    scores, truth = rng.normal(size=(30, 2)), rng.choice([1, 0, -1], (30, 2))
    expected = []
    for score, label in zip(scores.T, truth.T, strict=True):
        ranked = [int(t) for _, t in sorted(zip(score, label, strict=True), reverse=True) if t]
        there, total = ranked.count(1), 0.0
        for tenth in range(11):
            best = 0.0
            for end in range(1, len(ranked) + 1):
                right = ranked[:end].count(1)
                if 10 * right >= tenth * there:
                    best = max(best, right / end)
            total += best / 11
        expected.append(total)
    assert mean_average_precision(scores, truth) == pytest.approx(np.mean(expected))
    assert mean_average_precision(np.array([[3.0], [2], [1]]), np.array([[1], [0], [-1]])) == 1
    one_of_two = mean_average_precision(np.array([[3.0], [2], [1]]), np.array([[-1], [1], [1]]))
    assert one_of_two == pytest.approx(2 / 3)
    absent = np.array([[1, -1], [-1, -1]])
    assert mean_average_precision(np.array([[2.0, 1], [1, 2]]), absent) == 1, "a class that no picture has is no zero"


def test_the_command_trains_goes_on_and_its_head_answers(devkit, tmp_path, monkeypatch, capsys):
    root, annotations, _ = devkit
    settings = ["model=resnet50", "model.variant=demo", "device=cpu"]
    out, cache = tmp_path / "heads" / "mine.safetensors", tmp_path / "cache"
    command = [*settings, f"dataset.root={root}", f"--out={out}", f"--cache={cache}"]
    passes = []
    real, chunk = caching._of_batch, caching.CHUNK
    monkeypatch.setattr(caching, "CHUNK", 4)

    def interrupted(*arguments):
        passes.append(len(arguments[-1]))
        if len(passes) == 3:
            raise KeyboardInterrupt
        return real(*arguments)

    monkeypatch.setattr(caching, "_of_batch", interrupted)
    assert main(command) == 130
    assert main(command) == 0
    assert sum(passes) == 4 + 4 + 4 + 4 + 2, "two chunks were kept; test pictures are trainval's here"
    assert "mean average precision" in capsys.readouterr().out
    first = contents(out)
    monkeypatch.setattr(caching, "CHUNK", chunk)
    assert main(command) == 0
    assert sum(passes) == 18, "nothing is passed twice"
    weight, known = contents(out)
    assert weight.dtype == torch.float16
    assert (weight == first[0]).all()
    assert known == first[1]
    assert known["classes"].split(",") == list(CLASSES)
    assert known["data"].startswith("14 pictures, SHA-256 ")
    assert "dataset.root=DIR" in known["command"]
    assert not any(str(tmp_path) in said for said in known.values()), "a place of this machine is nobody else's"
    classifier = build_classifier(load([*settings, "dataset=pascal", f"+model.head={out}"]), CLASSES)
    truth = labels_of_test(VOC(root))
    pixels = load([*settings, "dataset=pascal"]).protocol.input
    from eval.game.protocol import Input

    shown = Input(**{name: pixels[name] for name in ("mode", "side", "antialias", "spatial", "smooth")})
    with torch.no_grad():
        images = torch.stack([shown.pixels(sample.image) for sample in VOC(root)])
        scores = classifier.network(classifier.normalise(images)).numpy()
    assert float(known["test_map"]) == pytest.approx(mean_average_precision(scores, truth), abs=0.02)
    (root / "VOC2007" / "JPEGImages" / f"{annotations[0]['key']}.jpg").unlink()
    assert main(command) == 1
    assert "is missing" in capsys.readouterr().err.replace("are missing", "is missing")


def test_data_sets_without_such_labels_are_refused(capsys, tmp_path):
    assert main(["dataset=demo", f"--cache={tmp_path}"]) == 1
    assert "trained on a VOCdevkit" in capsys.readouterr().err
