"""No bad input passes as a result: one clear message that names it, no row, and the other pictures keep theirs."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval.datasets.pictures import MAX_PIXELS
from eval.records.rows import read_rows
from eval.running.config import EXPECTED, load
from eval.running.job import evaluate_job
from tests import bad_files, bad_input
from tests.bad_input import BAD, TINY, devkit, voc

ROOT = Path(__file__).parent.parent
FATAL = bad_input.VOC_FILES | bad_files.COCO_FILES | bad_files.IMAGENET_FILES | bad_files.CHECKPOINTS


def start(folder, *overrides, on_error="stop"):
    cfg = loaded(("compare=false", "device=cpu", "workers=0", f"results={folder / 'results'}", *overrides))
    cfg.on_error = on_error if cfg.on_error == "stop" else cfg.on_error
    return evaluate_job(cfg)


@functools.lru_cache(maxsize=1)
def loaded(overrides):
    return load(list(overrides))


def rows(folder):
    return [row for run in (folder / "results").glob("records/*") for row in read_rows(run)]


def check_message(text, words, folder):
    assert words in text
    assert "Traceback" not in text
    assert "root:" not in text, "it shows what is in a file that it should not read"
    assert len(text) < 2000
    assert not list(folder.rglob("ran")), "code in a file has been run"


def refused(folder, words, overrides):
    """Nothing is evaluated, whatever the policy."""
    with pytest.raises(EXPECTED) as caught:
        start(folder, *overrides)
    check_message(str(caught.value), words, folder)
    assert rows(folder) == []


def one_bad_picture(folder, words, overrides):
    """The policy decides: stop at it, or skip, count and name it while the others are evaluated."""
    with pytest.raises(EXPECTED) as caught:
        start(folder, *overrides)
    check_message(str(caught.value), words, folder)
    assert BAD not in {row["key"] for row in rows(folder)}
    ((who, message),) = start(folder, *overrides, on_error="skip").failed
    check_message(message, words, folder)
    assert BAD in message or who == "picture 1"
    lines = rows(folder)
    assert {row["key"] for row in lines} == {"000001", "000003"}
    assert len(lines) == 4


@pytest.mark.parametrize("what", bad_input.SETTINGS)
def test_settings(tmp_path, what):
    refused(tmp_path, bad_input.SETTINGS[what], ["method=center", "limit=2", what])


@pytest.mark.parametrize("what", FATAL)
def test_files_without_which_nothing_starts(tmp_path, what):
    make, words = FATAL[what]
    overrides = make(tmp_path)
    refused(tmp_path, words, overrides if "method=gradcam" in overrides else [*overrides, "method=center"])


@pytest.mark.parametrize("what", bad_input.VOC_XML)
def test_an_annotation(tmp_path, what):
    data, words = bad_input.VOC_XML[what]
    base = devkit(tmp_path)
    (base / "Annotations" / f"{BAD}.xml").write_bytes(data)
    one_bad_picture(tmp_path, words, [*voc(base), "method=center"])


@pytest.mark.parametrize("what", bad_input.VOC_PICTURE)
def test_a_picture(tmp_path, what):
    data, words = bad_input.VOC_PICTURE[what]
    base = devkit(tmp_path)
    (base / "JPEGImages" / f"{BAD}.jpg").write_bytes(data)
    one_bad_picture(tmp_path, words, [*voc(base), *TINY])


@pytest.mark.parametrize("what", bad_files.MAPS)
def test_a_ready_made_map(tmp_path, what):
    make, words = bad_files.MAPS[what]
    one_bad_picture(tmp_path, words, make(tmp_path))


@pytest.mark.parametrize(("place", "suffix"), [("Annotations", ".xml"), ("JPEGImages", ".jpg")])
def test_a_link_out_of_the_folder(tmp_path, place, suffix):
    overrides = bad_input.link_out(place, suffix)(tmp_path)
    one_bad_picture(tmp_path, "is a link that leads out of", [*overrides, *TINY])


def test_a_picture_that_became_a_folder_meanwhile(tmp_path):
    base = devkit(tmp_path)
    (base / "JPEGImages" / f"{BAD}.jpg").unlink()
    (base / "JPEGImages" / f"{BAD}.jpg").mkdir()
    one_bad_picture(tmp_path, f"{BAD}.jpg", [*voc(base), *TINY])


def test_a_layer_that_the_network_lacks(tmp_path):
    base = devkit(tmp_path)
    refused(tmp_path, "no layer '9'; near names: 0, 1", [*voc(base), *TINY, "model.layers.cam=['9']"])


def test_names_with_spaces_and_of_any_language_are_no_errors(tmp_path):
    folder = tmp_path / "my data, é 日本"
    base = devkit(folder)
    for kind, suffix in (("Annotations", ".xml"), ("JPEGImages", ".jpg")):
        os.rename(base / kind / f"{BAD}{suffix}", base / kind / f"café-日本{suffix}")
    (base / "ImageSets" / "Main" / "test.txt").write_text("000001\ncafé-日本\n", encoding="utf-8")
    assert start(tmp_path, "dataset=pascal", f"dataset.root='{base}'", *TINY, "save_maps=true").failed == []
    assert {row["key"] for row in rows(tmp_path)} == {"000001", "café-日本"}
    assert len(list(tmp_path.glob("results/records/*/maps/café-日本/*.npy"))) == 2


def command(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "run.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )


def test_the_command_line_goes_on_lists_the_picture_at_the_end_and_exits_with_an_error(tmp_path):
    base = devkit(tmp_path)
    (base / "JPEGImages" / f"{BAD}.jpg").write_bytes(bad_input.claims(10_000, MAX_PIXELS // 10_000 + 1))
    arguments = [*voc(base), *TINY, "compare=false", f"results={tmp_path / 'results'}", "on_error=skip"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "run.py", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "error: 1 picture failed, without rows:\n" in done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert f"{BAD}.jpg" in last
    assert "pixels" in last
    assert {row["key"] for row in rows(tmp_path)} == {"000001", "000003"}
    (failures,) = tmp_path.glob("results/records/*/failures.jsonl")
    assert json.loads(failures.read_text())["key"] == BAD
    (log,) = tmp_path.glob("results/logs/*.log")
    assert f"{BAD}.jpg" in log.read_text()


def test_the_corpus_is_as_large_as_promised():
    parts = (FATAL, bad_input.SETTINGS, bad_input.VOC_XML, bad_input.VOC_PICTURE, bad_files.MAPS)
    assert sum(map(len, parts)) >= 100
