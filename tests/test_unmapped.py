"""Classes without an output: their names once, their number on every later run."""

import json

import pytest

from eval.running import unmapped as module
from eval.running.config import load
from eval.running.job import evaluate_job, prepare_classifier, prepare_dataset
from eval.running.unmapped import unmapped

COUNTED = "no output stands for 1 of 20 classes, whose pairs are left out"


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_named", [])
    (dataset, _) = prepare_dataset(load(["dataset=demo", "limit=1"]))
    classes = dataset.classes
    (tmp_path / "map.json").write_text(json.dumps({name: [i] for i, name in enumerate(classes) if i != 3}))
    cfg = load(
        ["dataset=demo", "limit=1", "method=gradcam", "compare=false", f"results={tmp_path}/r",
         f"model.class_map={tmp_path}/map.json"]
    )  # fmt: skip
    return cfg, classes


def test_named_once_and_counted_after(prepared, monkeypatch):
    cfg, classes = prepared
    classifier = prepare_classifier(cfg, classes)
    monkeypatch.setattr(module, "_named", [])
    assert unmapped(classifier, classes) == f"{COUNTED}: {classes[3]}"
    assert unmapped(classifier, classes) == COUNTED
    classifier.outputs[3] = [3]
    assert unmapped(classifier, classes) is None
    classifier.outputs[5] = []
    assert unmapped(classifier, classes) == f"{COUNTED}: {classes[5]}", "another class was named"


def test_a_later_process_names_them_again(prepared, monkeypatch):
    cfg, classes = prepared
    evaluate_job(cfg)
    monkeypatch.setattr(module, "_named", [])
    assert unmapped(prepare_classifier(cfg, classes), classes) == f"{COUNTED}: {classes[3]}"
