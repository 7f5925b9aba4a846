"""What `python -m scripts.benchmark methods` records, and the table made of it."""

import argparse
import json

import pytest

from scripts.benchmark.methods import markdown, measure, seeing


@pytest.fixture(scope="module")
def record():
    arguments = argparse.Namespace(threads=None, device="cpu", side=64, classes=2, budget=0.0, calls=1)
    return measure("mobilenet_v2", "occlusion", arguments)


def test_passes_and_ratios_are_those_of_the_call(record):
    # Windows of 32 at strides of 16 on 64 pixels: 3 x 3, and the whole picture.
    assert record["passes"] == 10
    assert record["seconds"] > 0
    assert record["calls"] == 1
    assert record["ratio"] == pytest.approx(record["seconds"] / record["forward"], rel=0.2)
    assert record["per_pass"] == pytest.approx(record["ratio"] / 10, rel=0.1)
    json.dumps(record)


def test_every_method_that_sees_is_measured():
    names = seeing()
    assert {"gradcam", "scorecam", "relevancecam", "rise", "gpnncam"} <= set(names)
    assert not {"center", "random", "maps", "custom"} & set(names)


def test_the_table(record):
    lines = markdown([json.dumps(record | {"settings": ["method.build.masks=400"]})]).splitlines()
    assert len(lines) == 3
    assert lines[2].startswith("| mobilenet_v2 | Occlusion (masks=400) | ")
    assert " | 10 | " in lines[2]
    with pytest.raises(ValueError, match="line 1 is no record"):
        markdown(['{"network": "vgg16"}'])
