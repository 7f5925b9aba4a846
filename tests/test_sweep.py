"""A sweep: what it expands to, what it refuses before it starts, how it counts, and what a failing job does to it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import run
from eval.records.rows import write_json
from eval.sweeps import sweep as sweep_module
from eval.sweeps.preflight import preflight
from eval.sweeps.progress import Job, Progress, duration, note, waves
from tests.sweeps import load_sweep

ROOT = Path(__file__).parent.parent


def jobs(*lefts, method="a", rows=None):
    return [Job(f"job{i}", method, left, (rows or f"rows{i}",)) for i, left in enumerate(lefts)]


def test_the_time_left_goes_by_the_method_and_the_pairs(tmp_path):
    planned = [*jobs(10, method="cheap"), *jobs(10, method="dear"), *jobs(40, method="cheap"), *jobs(5, method="dear")]
    progress = Progress(tmp_path, planned)
    assert progress.left(1.0) == (0.0, False)
    note(tmp_path, 0, 10.0, 10, [], None)
    note(tmp_path, 1, 100.0, 10, [], None)
    assert len(progress.news()) == 2
    assert progress.left(110.0) == (pytest.approx(40 * 1.0 + 5 * 10.0), True)
    assert progress.left(55.0) == (pytest.approx((40 * 1.0 + 5 * 10.0) / 2), True), (
        "two jobs were seen to run at a time"
    )
    assert progress.news() == []


def test_a_method_that_has_not_run_yet_makes_the_time_left_a_lower_bound(tmp_path):
    progress = Progress(tmp_path, [*jobs(10), *jobs(10), *jobs(3, method="new")])
    note(tmp_path, 0, 20.0, 10, [], None)
    (line,) = progress.news()
    assert ", at least " in line
    assert progress.left(20.0) == (pytest.approx(20.0), False)
    note(tmp_path, 1, 20.0, 10, [], None)
    (line,) = progress.news()
    assert " left" not in line, "nothing is known of the only job to come"


def test_rows_that_another_job_writes_are_not_called_complete(tmp_path):
    """A method that reads no network, under two of them, in an empty folder."""
    once, again, other = jobs(10, 0, 0)
    opening = Progress(tmp_path, [once, replace(again, rows=once.rows), other]).opening()
    assert opening.startswith("sweep of 3 jobs, 1 of them already complete, 1 whose rows another one writes: 10 pairs")


def test_a_sweep_with_nothing_left_has_no_time_left_and_no_pace(tmp_path):
    progress = Progress(tmp_path, jobs(0, 0))
    assert progress.opening() == "sweep of 2 jobs, 2 of them already complete: 0 pairs to evaluate"
    note(tmp_path, 0, 0.1, 0, [], None)
    assert progress.news()[0].endswith("about 0s left")


def test_failures_are_named_and_so_is_a_job_that_never_ended(tmp_path):
    progress = Progress(tmp_path, jobs(1, 1, 1))
    note(tmp_path, 0, 1.0, 1, ["r/one"], None)
    note(tmp_path, 2, 1.0, 0, [], "no memory")
    first, second = progress.news()
    assert first.startswith("job 1/3 done: job0")
    assert second.startswith("job 2/3 failed: job2")
    assert progress.failures() == ["job1: it did not run to its end", "job2: no memory"]
    assert progress.folders() == [Path("r/one")]


def test_jobs_that_write_the_same_rows_are_in_different_waves():
    planned = dict(enumerate([*jobs(1, 1, rows="same"), *jobs(1), *jobs(1, rows="same")]))
    assert waves(planned) == [[0, 2], [1], [3]]


def test_durations_read_as_people_say_them():
    assert [duration(s) for s in (0.4, 59, 61, 3600, 3 * 3600 + 7 * 60 + 4)] == ["0s", "59s", "1m01s", "1h00m", "3h07m"]


def test_preflight_names_every_missing_thing_once_and_no_job_passes_that_lacks_one(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # no network
    overrides = ["experiment=paper_table", f"results={tmp_path}", "roots.pascal=nowhere", "roots.imagenet=nowhere2"]
    overrides += [f"model.checkpoint={tmp_path / 'missing.pth'}"]
    actual, problems = preflight(load_sweep(*overrides))
    assert actual == []
    assert len(problems) == 3
    for word in ("nowhere", "nowhere2", "missing.pth", "roots.pascal=DIR", "roots.imagenet=DIR"):
        assert any(word in problem for problem in problems), word
    assert not (tmp_path / "records").exists()


def test_preflight_counts_what_is_left_and_counts_shared_rows_once(tmp_path):
    overrides = ["method=center,random", "model=vgg16,resnet50", "limit=10", f"results={tmp_path}"]
    actual, problems = preflight(load_sweep(*overrides))
    assert problems == []
    assert [job.name for job in actual] == [
        f"method={method} model={model}" for method in ("center", "random") for model in ("vgg16", "resnet50")
    ]
    first = actual[0].left
    assert first > 10
    assert [job.left for job in actual] == [first, 0, first, 0], "a blind method is the same run under both networks"


def test_preflight_tells_a_bad_setting_and_a_bad_method_apart_from_a_good_job(tmp_path):
    actual, problems = preflight(load_sweep("method=center", "seed=0,-1", "limit=5", f"results={tmp_path}"))
    assert [job.name for job in actual] == ["seed=0"]
    assert len(problems) == 1
    assert "seed" in problems[0]
    assert "-1" in problems[0]


def sweep(*arguments) -> subprocess.CompletedProcess:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "run.py", "-m", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


METHOD = """
import torch

def explain(sample, targets, classes, broken):
    if broken:
        raise TypeError("a mistake in the method")
    return torch.zeros(len(targets), 2)
"""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """(results, finished process) of a sweep over two methods in two shards."""
    folder = tmp_path_factory.mktemp("sweep")
    return folder, sweep("method=center,random", "shard=1/2,2/2", "limit=8", f"results={folder}")


def test_a_sweep_tells_its_progress_and_ends_in_the_table(swept):
    folder, done = swept
    assert done.returncode == 0, done.stderr
    assert "sweep of 4 jobs, 0 of them already complete" in done.stdout
    for number in range(1, 5):
        assert f"job {number}/4 done" in done.stdout
    assert "about 0s left" in done.stdout
    table = done.stdout[done.stdout.index("### Protocol paper") :]
    assert "Center" in table
    assert "Random" in table
    assert "in brackets the rank" in table, "a sweep ends in methods by measures"
    assert len(list(folder.glob("records/demo.center.*/rows.*-of-2.jsonl"))) == 2


def test_a_rerun_evaluates_nothing_and_prints_the_same_table(swept):
    folder, first = swept
    before = {path: path.read_bytes() for path in folder.glob("records/*/rows*.jsonl")}
    again = sweep("method=center,random", "shard=1/2,2/2", "limit=8", f"results={folder}")
    assert again.returncode == 0, again.stderr
    assert "4 of them already complete: 0 pairs to evaluate" in again.stdout
    assert {path: path.read_bytes() for path in before} == before
    at = "### Protocol paper"
    assert again.stdout[again.stdout.index(at) :] == first.stdout[first.stdout.index(at) :]


def test_one_jobs_failure_leaves_the_others_running_and_is_named_at_the_end(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(METHOD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    method = ("method=custom", "method.blind=true", "method.build._target_=mine.explain")
    done = sweep(*method, "+method.build.broken=True,False", "limit=4", f"results={tmp_path}")
    assert done.returncode == 1
    assert "job 1/2 failed: +method.build.broken=True" in done.stdout
    assert "job 2/2 done: +method.build.broken=False" in done.stdout
    assert "### Protocol paper" in done.stdout
    (failed,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert "broken=True" in failed
    assert "a mistake in the method" in failed
    (rows,) = [path for path in tmp_path.glob("records/*/rows.jsonl") if path.stat().st_size]
    assert len(rows.read_text().splitlines()) > 4


def test_an_error_after_the_last_job_is_the_exit_status(tmp_path, monkeypatch, capsys):
    def broken(folders, configs):
        raise ValueError("the rows are damaged")

    monkeypatch.setattr(sweep_module, "print_sweep", broken)
    assert run.main(["-m", "method=center,random", "limit=2", f"results={tmp_path}"]) == 1
    assert "error: the rows are damaged" in capsys.readouterr().err


REFUSED = ["-m", "method=attention_rollout,gradcam", "dataset=demo", "limit=2", "compare=false"]


def test_a_method_that_the_network_cannot_serve_is_left_out_and_named_where_errors_are_skipped(tmp_path, capsys):
    assert run.main([*REFUSED, "on_error=skip", f"results={tmp_path}"]) == 1
    printed = capsys.readouterr()
    assert "sweep of 2 jobs, 0 of them already complete, 1 left out" in printed.out
    assert "left out: method=attention_rollout" in printed.out
    assert "job 2/2 done: method=gradcam" in printed.out
    assert "failed: method=attention_rollout: " in printed.err
    assert [path.parent.name.split(".")[2] for path in tmp_path.glob("records/*/rows.jsonl")] == ["gradcam"]


@pytest.mark.parametrize("more", [["on_error=stop"], ["method=attention_rollout", "seed=0,1", "on_error=skip"]])
def test_without_skipping_or_without_any_other_job_nothing_starts(more, tmp_path, capsys):
    assert run.main([*REFUSED, *more, f"results={tmp_path}"]) == 1
    printed = capsys.readouterr().err
    assert "nothing was started" in printed
    assert "attention" in printed
    assert not (tmp_path / "records").exists()


def test_two_sweeps_of_one_second_do_not_share_their_notes(tmp_path):
    first, second = (sweep_module._log_folder(tmp_path) for _ in range(2))
    assert first != second
    assert first.is_dir()
    assert second.is_dir()


def test_a_sweep_that_lacks_something_starts_nothing(tmp_path):
    done = sweep("method=center", "dataset=demo,pascal", "dataset.root=nowhere", f"results={tmp_path}")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "nothing was started" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "records").exists()


def test_a_note_replaces_that_of_an_earlier_attempt(tmp_path):
    write_json(tmp_path / "0" / "job.json", {"error": "old"})
    note(tmp_path, 0, 1.0, 2, [], None)
    assert Progress(tmp_path, jobs(1)).news()[0].startswith("job 1/1 done")
