"""A sweep's jobs as processes of their own on this machine: what dies is named, what is stopped goes on."""

import itertools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eval.sweeps.cluster import launch
from eval.sweeps.progress import Job, Progress

ROOT = Path(__file__).parent.parent
# `exec` is what these jobs call, so that their processes import nothing of the suite and start in no time.
NOTE = "import json, os, time; start = time.time(); time.sleep({pause}); open(r'{path}', 'w').write(json.dumps("
NOTE += "[start, time.time(), os.environ['CUDA_VISIBLE_DEVICES']]))"


def settings(**more) -> dict:
    """As conf/launcher/local.yaml."""
    settings = {"cluster": "local", "timeout_min": 60, "signal_delay_s": 5, "max_num_timeout": 3, "processes": None}
    return settings | more


def run_all(folder: Path, codes: list[str], rows=None, call=exec, **more) -> Progress:
    progress = Progress(folder, [Job(f"job{i}", "m", 1, (rows or i,)) for i in range(len(codes))])
    launch(call, {i: (code,) for i, code in enumerate(codes)}, settings(**more), progress)
    return progress


def seen(folder: Path) -> list:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.txt"))]


def notes(folder: Path, count: int, pause: float = 0.3) -> list[str]:
    return [NOTE.format(pause=pause, path=folder / f"{i}.txt") for i in range(count)]


def overlapping(spans) -> bool:
    spans = sorted(span[:2] for span in spans)
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    # `launch` adds to them.
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", ""))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def test_a_job_that_is_killed_and_one_that_raises_are_named_and_the_others_run(tmp_path):
    codes = ["import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "raise ValueError('broken')"]
    progress = run_all(tmp_path, [*codes, *notes(tmp_path, 1)])
    assert len(seen(tmp_path)) == 1
    died, raised = progress.failures()[:2]
    assert died.startswith("job0: its process died")
    assert raised.startswith("job1: its process could not run it")
    log = Path(raised.partition("see ")[2])
    assert "broken" in log.read_text()


def test_no_more_processes_than_set_run_at_a_time(tmp_path):
    run_all(tmp_path, notes(tmp_path, 3), processes=1)
    assert len(seen(tmp_path)) == 3
    assert not overlapping(seen(tmp_path))


def test_jobs_that_write_the_same_rows_run_after_one_another(tmp_path):
    run_all(tmp_path, notes(tmp_path, 2), rows="same", processes=2)
    assert len(seen(tmp_path)) == 2
    assert not overlapping(seen(tmp_path))


def test_every_process_gets_a_gpu_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    run_all(tmp_path, notes(tmp_path, 2, pause=3.0))
    assert sorted(gpu for _, _, gpu in seen(tmp_path)) == ["2", "5"]
    assert overlapping(seen(tmp_path)), "side by side"


def test_a_job_told_of_its_time_limit_is_started_again_with_the_same_arguments(tmp_path):
    class Restartable:
        def __call__(self, path):
            import os
            import signal
            import time

            with open(path, "a+") as stream:
                stream.write("started\n")
                stream.seek(0)
                starts = len(stream.readlines())
            if starts < 3:
                os.kill(os.getpid(), signal.SIGUSR2)  # as submitit does signal_delay_s before the limit
                time.sleep(60)

        def checkpoint(self, *arguments):
            import submitit

            return submitit.helpers.DelayedSubmission(self, *arguments)

    Restartable.__module__ = "__main__"  # travels by value: the job's process need not import this file
    path = tmp_path / "starts"
    progress = run_all(tmp_path, [str(path)], call=Restartable())
    assert path.read_text() == "started\n" * 3
    assert progress.failures() == ["job0: it did not run to its end"], "this call leaves no note of its end"


METHOD = f"""
import os
import torch

def explain(sample, targets, classes, broken):
    if broken and sample.key.endswith("2"):
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    return torch.zeros(len(targets), 2)
"""


def test_a_sweep_in_processes_names_the_killed_one_and_keeps_its_rows(tmp_path):
    (tmp_path / "mine.py").write_text(METHOD)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "run.py", "-m", "method=custom", "method.blind=true", "limit=6"]
    command += ["method.build._target_=mine.explain", "+method.build.broken=True,False", f"results={tmp_path}"]
    command += ["launcher=local", "launcher.processes=2"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 1
    assert "job 2/2" in done.stdout
    (failed,) = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert "broken=True: its process died" in failed
    pictures = [
        {json.loads(line)["key"] for line in path.read_text().splitlines()}
        for path in tmp_path.glob("records/*/rows.jsonl")
    ]
    assert sorted(map(len, pictures)) == [2, 6], "the killed job had two pictures"
