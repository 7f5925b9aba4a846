"""End to end through the real command line: what a user types, sees and gets."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from eval.records.schema import TIMING
from tests.voc_devkit import random_annotations, write

ROOT = Path(__file__).parent.parent


def command(*arguments) -> list[str]:
    return [sys.executable, "run.py", *map(str, arguments)]


def run(*arguments) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run(command(*arguments), cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


def rows(results: Path, method: str) -> list[dict]:
    """Rows of the only run of a method, without the fields that differ between equal runs."""
    (path,) = results.glob(f"records/*.{method}.*/rows.jsonl")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{name: value for name, value in row.items() if name not in TIMING} for row in lines]


def test_the_main_job_ends_in_a_table_and_a_picture_and_a_second_call_has_nothing_to_do(tmp_path):
    first = run("limit=4", "method.build.n=4", f"results={tmp_path}")
    assert first.returncode == 0, first.stderr
    for name in ("GPNN-CAM", "GradCAM", "Center"):
        assert name in first.stdout
    assert str(tmp_path / "records") in first.stdout
    (picture,) = tmp_path.glob("pictures/*.png")
    assert str(picture) in first.stdout
    assert Image.open(picture).width > 300
    before = {method: rows(tmp_path, method) for method in ("gpnncam", "gradcam", "center")}
    assert {len(actual) for actual in before.values()} == {len(before["gpnncam"])}

    second = run("limit=4", "method.build.n=4", f"results={tmp_path}")
    assert second.returncode == 0, second.stderr
    assert "gpnncam: nothing left to do" in second.stdout
    assert {method: rows(tmp_path, method) for method in before} == before


def test_a_killed_run_continues_and_its_rows_equal_those_of_an_uninterrupted_one(tmp_path):
    arguments = ("method=gradcam", "compare=false", "limit=25")
    started = subprocess.Popen(
        command(*arguments, f"results={tmp_path / 'killed'}"),
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},  # as the other runs: the last digit depends on the threads
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not any(path.stat().st_size > 2000 for path in tmp_path.glob("killed/records/*/rows.jsonl")):
        assert started.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    part = len(rows_of_torn(tmp_path / "killed"))
    again = run(*arguments, f"results={tmp_path / 'killed'}")
    assert again.returncode == 0, again.stderr
    whole = run(*arguments, f"results={tmp_path / 'whole'}")
    assert whole.returncode == 0, whole.stderr
    assert part < len(rows(tmp_path / "whole", "gradcam"))
    assert rows(tmp_path / "killed", "gradcam") == rows(tmp_path / "whole", "gradcam")


def rows_of_torn(results: Path) -> list[bytes]:
    (path,) = results.glob("records/*/rows.jsonl")
    return path.read_bytes().splitlines()


def test_the_difficult_subset_shares_its_rows_with_the_whole(tmp_path):
    root = write(tmp_path, random_annotations(12, seed=3))
    common = ("method=center", f"dataset.root={root}", f"results={tmp_path / 'results'}")
    assert run("dataset=pascal_diff", *common).returncode == 0
    difficult = rows(tmp_path / "results", "center")
    assert difficult
    assert all(row["difficult"] for row in difficult)
    done = run("dataset=pascal", *common)
    everything = rows(tmp_path / "results", "center")
    assert f"{len(everything) - len(difficult)} pairs evaluated" in done.stdout
    assert everything[: len(difficult)] == difficult
    assert "nothing left to do" in run("dataset=pascal_diff", *common).stdout


MISTAKES = {
    "a key": (["methd=center"], ["methd"]),
    "a method": (["method=gradcamm"], ["gradcamm", "gradcampp"]),
    "a data set": (["dataset=pascall"], ["pascall", "pascal_diff"]),
    "a method's setting": (["method.build.nn=3"], ["nn"]),
    "a number": (["limit=ten"], ["limit", "ten"]),
    "a folder": (["dataset=pascal", "dataset.root=nowhere"], ["nowhere", "dataset.root=DIR", "dataset.download=true"]),
    "no folder": (["dataset=pascal_diff"], ["VOC2007", "dataset.root=DIR", "dataset.download=true"]),
    "a device": (["device=gpu"], ["device", "gpu"]),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_a_mistake_gives_one_message_that_names_it_and_no_row(what, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "empty"))
    arguments, words = MISTAKES[what]
    done = run(*arguments, f"results={tmp_path / 'results'}")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    for word in words:
        assert word in done.stderr
    assert not list(tmp_path.glob("results/records/*/rows*.jsonl"))
