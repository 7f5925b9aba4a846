"""What `python -m scripts.maintain.benchmark methods` records, and the table made of it."""

import argparse
import json

import pytest

from scripts.maintain.benchmark.methods import markdown, measure, seeing


@pytest.fixture(scope="module")
def record():
    arguments = argparse.Namespace(threads=None, device="cpu", side=64, classes=2, budget=0.0, calls=1, setting=[])
    return measure("mobilenet_v2", "occlusion", arguments)


@pytest.mark.parametrize(
    ("method", "passes", "batch"), [("gpnncam", 21, 11), ("gpnncam_alone", 1, 1), ("gpnncam_hr_cheap", 1, 1)]
)
def test_the_yardstick_passes_as_many_at_once_as_the_method(method, passes, batch):
    arguments = argparse.Namespace(threads=1, device="cpu", side=64, classes=1, budget=0.0, calls=1, setting=[])
    actual = measure("mobilenet_v2", method, arguments)
    assert actual["passes"] == passes
    assert actual["batch"] == batch


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


def test_the_table_has_a_line_per_method_and_the_networks_side_by_side(record):
    def line(**changes):
        return json.dumps(record | changes)

    short = ["method.build.masks=400"]
    lines = [line(), line(label="RISE", settings=short), line(label="RISE", settings=short, network="vgg16", passes=7)]
    head, _, occlusion, rise = markdown(lines).splitlines()
    assert "mobilenet_v2: pictures" in head
    assert "vgg16: pictures" in head
    assert occlusion.split("|")[1].strip() == "Occlusion"
    assert [cell.strip() for cell in occlusion.split("|")[-5:]] == [""] * 5
    assert rise.split("|")[1].strip() == "RISE (masks=400)"
    cells = [cell.strip() for cell in rise.split("|")]
    titles = [cell.strip() for cell in head.split("|")]
    assert cells[titles.index("mobilenet_v2: pictures")] == "10"
    assert cells[titles.index("vgg16: pictures")] == "7"
    timed = {"ratio": 7.0, "cpu_ratio": 5.0}
    for device, expected in (("cpu", "5.0"), ("NVIDIA H100", "7.0")):
        row = markdown([line(device=device, **timed)]).splitlines()[2].split("|")
        assert row[titles.index("mobilenet_v2: forward passes")].strip() == expected, "of a card, its own time"
    with pytest.raises(ValueError, match="line 1 is no record"):
        markdown(['{"network": "vgg16"}'])
    with pytest.raises(ValueError, match="line 2: Occlusion on mobilenet_v2 is there twice"):
        markdown([line(), line()])
