"""scripts.check_data on a devkit with known faults, and the decoding benchmark's arithmetic."""

import json
import re

import pytest
from PIL import Image

from eval.datasets.voc import VOC
from scripts import check_data
from scripts.maintain.benchmark import data as benchmark
from tests.voc_devkit import random_annotations, write


@pytest.fixture
def devkit(tmp_path):
    return write(tmp_path, random_annotations(12, seed=1))


def test_a_good_data_set(devkit, capsys):
    report = check_data.check(VOC(devkit), workers=0)
    said = random_annotations(12, seed=1)
    assert report.bad == []
    assert (report.pictures, report.objects) == (12, sum(len(a["objects"]) for a in said))
    assert report.pairs == sum(len({name for name, _, hard in a["objects"] if not hard}) for a in said)
    settings = ["dataset=pascal", "dataset.name=mine", f"dataset.root={devkit}", "workers=0"]
    assert check_data.main(settings) == 0
    text = capsys.readouterr().out
    assert f"mine: 12 pictures, {report.objects} objects, {report.pairs} pairs" in text
    # Under the name of the known data set, twelve pictures are too few.
    assert check_data.main([*settings[:1], *settings[2:], "--no-pictures"]) == 1
    assert "pictures: 12 instead of 4,952" in capsys.readouterr().out


def test_faults_are_counted_and_named(devkit):
    pictures, annotations = (devkit / "VOC2007" / kind for kind in ("JPEGImages", "Annotations"))
    data = VOC(devkit)
    Image.new("RGB", (3, 3)).save(pictures / "000002.jpg")
    (pictures / "000003.jpg").write_bytes((pictures / "000003.jpg").read_bytes()[:300])
    (pictures / "000004.jpg").unlink()
    (annotations / "000005.xml").write_text("<annotation>")
    report = check_data.check(data, workers=0)
    actual = {(key, kind) for key, kind, _ in report.bad}
    assert actual == {("000002", "size"), ("000003", "damaged"), ("000004", "missing"), ("000005", "annotation")}
    assert all(key in message for key, _, message in report.bad)
    text = "\n".join(check_data.lines(report, "mine"))
    assert text.count("1 bad") == 4
    assert not check_data.is_complete(report, "mine")
    assert {kind for _, kind, _ in check_data.check(data, decode=False).bad} == {"annotation"}


def test_a_missing_data_set_is_one_line(capsys, tmp_path):
    assert check_data.main(["dataset=pascal", f"dataset.root={tmp_path / 'nowhere'}"]) == 1
    assert capsys.readouterr().err.startswith("error: VOC2007 test: there is no folder")


def test_the_decoding_benchmark(capsys):
    options = ["--count", "6", "--repeats", "1", "--workers", "0", "--gpu", "1000000"]
    assert benchmark.main(options) == 0
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["pictures"] == 6
    assert first["workers_for_gpu"] == pytest.approx(1000000 / first["pictures_per_second"], rel=0.05, abs=1)
    # Without workers nothing overlaps: a third of the time is decoding, two thirds the consumer's.
    assert 0.05 < last["waited"] < 0.8


def test_rows_are_compared_with_what_is_there_now(devkit, tmp_path, capsys):
    from eval.running.config import load
    from eval.running.job import evaluate_job

    settings = ["dataset=pascal", "dataset.name=mine", f"dataset.root={devkit}", "workers=0"]
    # A blind method holds no digest of pictures, so a seeing one is needed: on the built-in network any will do.
    seeing = ["model.variant=demo", "protocol.input.side=32", f"results={tmp_path / 'results'}", "compare=false"]
    assert evaluate_job(load([*settings, *seeing, "method=gradcam", "limit=6"])).pairs
    records = ["--records", str(tmp_path / "results" / "records")]
    assert check_data.main([*settings, *records]) == 0
    assert "in the rows of 1 runs" in capsys.readouterr().out
    pictures, annotations = (devkit / "VOC2007" / kind for kind in ("JPEGImages", "Annotations"))
    keys = sorted(path.stem for path in annotations.glob("*.xml"))
    with Image.open(pictures / f"{keys[0]}.jpg") as image:
        Image.eval(image, lambda value: 255 - value).save(pictures / f"{keys[0]}.jpg")
    text = (annotations / f"{keys[1]}.xml").read_text()
    moved = re.sub(r"<xmin>(\d+)", lambda match: f"<xmin>{int(match[1]) + 1}", text)
    (annotations / f"{keys[1]}.xml").write_text(moved)
    for more in ([], ["--no-pictures"]):
        assert check_data.main([*settings, *records, *more]) == 1
        text = capsys.readouterr().out
        assert re.search(rf"{keys[0]}: digest \w{{16}} in the rows, \w{{16}} now: mine\.resnet50\.gradcam", text)
        assert re.search(rf"{keys[1]}: of \w+: \w{{16}} in the rows", text)
        assert "picture: 1 bad" in text
    lost = (annotations / f"{keys[2]}.xml").read_text()
    name = re.search(r"<name>(\w+)</name>", lost)[1]
    (annotations / f"{keys[2]}.xml").write_text(lost.replace(f"<name>{name}</name>", "<name>tvmonitor</name>"))
    assert check_data.main([*settings, *records]) == 1
    assert f"{keys[2]}: the rows are about {name}, the annotations do not have it" in capsys.readouterr().out
    assert check_data.main(["dataset=demo", *records]) == 1
    assert "holds no run on demo" in capsys.readouterr().err


def test_few_pictures_start_no_process(devkit, monkeypatch):
    from eval.running import decoding

    def none(*_, **__):
        raise AssertionError("a process was started")

    monkeypatch.setattr(decoding, "ProcessPoolExecutor", none)
    assert check_data.check(VOC(devkit), workers=4).bad == []
