"""Calls as processes of their own, on this machine or on a SLURM cluster, through submitit.

A process that reaches its time limit is put back in the queue and goes on from its rows; a dead one (killed, out of
memory, its node gone) is named, and the others are still waited for. Waiting for SLURM asks `squeue`, so that it works
on clusters without accounting, where submitit itself would wait for a dead job for ever.
"""

import itertools
import os
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import submitit
import torch

from eval.files.places import ROOT, cores
from eval.sweeps.progress import Progress, note, waves

# submitit has these names for every cluster; all others are SLURM's own.
COMMON = ("timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name",
          "stderr_to_stdout")  # fmt: skip
QUEUE_SECONDS = 15.0


def launch(call: Callable, arguments: dict[int, tuple], settings: dict, progress: Progress) -> None:
    """Run call(*arguments[n]) for every job n of a sweep and wait for all; one whose process died is noted as failed.

    settings: those of conf/launcher; `cluster` is local or slurm. `call` and the arguments are pickled; results are not
    returned. Jobs that would write the same rows run after one another.
    """
    settings = dict(settings)
    kind = {"local": _local, "slurm": _slurm}[settings.pop("cluster")]
    # A process started elsewhere finds this checkout and the modules of the folder in which the command ran.
    here = [str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(here))
    settings["submitit_folder"] = str(progress.logs / "submitit" / "%j")
    for wave in waves({number: progress.jobs[number] for number in arguments}):
        for number, why in kind(call, {number: arguments[number] for number in wave}, settings, progress.tell):
            note(progress.logs, number, 0.0, 0, [], why)
    progress.tell()


def _local(
    call: Callable, arguments: Mapping[int, tuple], settings: Mapping[str, Any], tick: Callable[[], object]
) -> Iterator[tuple[int, str]]:
    executor = submitit.LocalExecutor(settings["submitit_folder"], max_num_timeout=settings["max_num_timeout"])
    gpus = _gpus()
    count = min(settings.get("processes") or len(gpus) or cores(), len(arguments))
    # Several processes that each use every core would stand in each other's way.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // count)))
    waiting = list(arguments)
    running: dict[int, tuple[int, submitit.Job]] = {}
    while waiting or running:
        for slot in range(count):
            if slot not in running and waiting:
                executor.update_parameters(
                    timeout_min=settings["timeout_min"],
                    signal_delay_s=settings["signal_delay_s"],
                    # submitit takes numbers alone and hides the card from others; a shell's line names it anyhow.
                    setup=[f"export CUDA_VISIBLE_DEVICES={shlex.quote(gpus[slot % len(gpus)])}"] if gpus else [],
                )
                number = waiting.pop(0)
                running[slot] = number, executor.submit(call, *arguments[number])
        time.sleep(0.5)
        for slot, (number, job) in list(running.items()):
            if job.done():
                del running[slot]
                yield from _ending(number, job)
        tick()


def _slurm(
    call: Callable, arguments: Mapping[int, tuple], settings: Mapping[str, Any], tick: Callable[[], object]
) -> Iterator[tuple[int, str]]:
    executor = submitit.AutoExecutor(
        settings["submitit_folder"], cluster="slurm", slurm_max_num_timeout=settings["max_num_timeout"]
    )
    ours = ("submitit_folder", "max_num_timeout")
    given = {name: value for name, value in settings.items() if name not in ours and value is not None}
    executor.update_parameters(**{name if name in COMMON else f"slurm_{name}": given[name] for name in given})
    jobs = dict(zip(arguments, executor.map_array(call, *zip(*arguments.values(), strict=True)), strict=True))
    absent = dict.fromkeys(jobs, 0)
    looked = time.monotonic()
    while jobs:
        time.sleep(1.0)
        queued = None
        if time.monotonic() - looked > QUEUE_SECONDS:
            queued, looked = _queued(), time.monotonic()
        for number, job in list(jobs.items()):
            if queued is not None:
                absent[number] = 0 if job.job_id in queued else absent[number] + 1
            # Twice: a shared file system may show the result later than the queue shows the end.
            if job.paths.result_pickle.exists() or absent[number] >= 2:
                del jobs[number]
                yield from _ending(number, job)
        tick()


def _ending(number: int, job: submitit.Job) -> Iterator[tuple[int, str]]:
    log = job.paths.stderr if job.paths.stderr.exists() else job.paths.stdout
    if not job.paths.result_pickle.exists():
        yield number, f"its process died (killed, out of memory or out of time); see {log}"
    elif job.exception() is not None:
        yield number, f"its process could not run it; see {log}"


def _queued() -> set[str] | None:
    """The ids of the user's jobs that SLURM still has in its queue, 12 or 12_3; None where it does not answer."""
    command = ["squeue", "--noheader", "--array", "--user", str(os.getuid()), "--format", "%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(answer.stdout.split())


def _gpus() -> list[str]:
    """The GPUs this process may use, as CUDA_VISIBLE_DEVICES names them: numbers, UUIDs (GPU-...) or slices (MIG-...).

    As for CUDA itself, what stands behind an invalid number (-1) does not count.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [str(number) for number in range(torch.cuda.device_count())]
    names = [name.strip() for name in listed.split(",")]
    return list(itertools.takewhile(lambda name: name.isdecimal() or name.startswith(("GPU-", "MIG-")), names))
