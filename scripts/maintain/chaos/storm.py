"""Runs that are killed at random moments and started again until they are finished."""

import functools
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor

from eval.files.locks import Held
from eval.records.rows import compact
from eval.running.config import load
from eval.running.job import evaluate_job

PATIENCE = 600.0  # seconds after the last kill
TRIES = 5  # times that a process which fails by itself is started again after the last kill
Process = multiprocessing.process.BaseProcess


def wait_and_draw(sample: Any, targets: Tensor, classes: Any, seconds: float) -> Tensor:
    """A blind method that takes its time: maps (K,7,7) drawn from the generator that the runner has seeded."""
    time.sleep(seconds)
    return torch.rand(len(targets), 7, 7)


def composed(overrides: list[str]) -> DictConfig:
    """The config of a process; Hydra composes it once for all folders."""
    (results,) = (each.partition("=")[2] for each in overrides if each.startswith("results="))
    cfg = _composed(tuple(each for each in overrides if not each.startswith("results="))).copy()
    cfg.results = results
    return cfg


@functools.cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    return load(overrides)


def waiting(results: Path, pictures: int, seconds: float) -> list[str]:
    """Overrides of a run of `wait_and_draw`."""
    common = [f"limit={pictures}", f"results={results}", "compare=false", "device=cpu", "workers=0", "method=custom"]
    common += [
        "method.name=waiting",
        "method.blind=true",
        "method.build._target_=scripts.maintain.chaos.storm.wait_and_draw",
    ]
    return [*common, f"+method.build.seconds={seconds}"]


def jobs(results: Path, pictures: int, seconds: float, network: bool) -> dict[str, list[list[str]]]:
    """Overrides of every process by run: one a run, or one a shard."""
    slow = waiting(results, pictures, seconds)
    shards = [[*slow, "method.name=sharded", "sync=second", f"shard={number}/3"] for number in (1, 2, 3)]
    groups = {"waiting": [[*slow, "save_maps=true"]], "sharded": shards}
    if network:
        seeing = [f"limit={pictures}", f"results={results}", "compare=false", "device=cpu", "workers=0"]
        groups["gradcam"] = [[*seeing, "method=gradcam", "save_maps=true"]]
    return groups


def storm(results: Path, disturbed: dict[str, list[list[str]]], kills: int, pause: float, seed: int) -> dict:
    """Kill, restart, finish. RuntimeError where a run does not come to its end, or there was nothing left to kill."""
    draw = random.Random(seed)
    work: list[tuple[Callable, Any]] = [(evaluate_job, composed(one)) for many in disturbed.values() for one in many]
    work.append((compact_all, results))
    living = [start(*each) for each in work]
    done, restarts = 0, 0
    while done < kills:
        time.sleep(draw.expovariate(1 / pause))
        place = draw.randrange(len(work))
        if living[place].is_alive():
            living[place].kill()
            living[place].join()
            done += living[place].exitcode != 0  # one that ended by itself at that very moment was not killed
        elif living[place].exitcode == 0 and all(process.exitcode == 0 for process in living[:-1]):
            raise RuntimeError(f"everything was finished after {done} kills: give more --pictures or --seconds")
        for number, process in enumerate(living):
            if not process.is_alive() and process.exitcode != 0:
                living[number], restarts = start(*work[number]), restarts + 1
    living.pop().kill()
    for number, process in enumerate(living):
        restarts += finished(process, *work[number])
    return {"kills": done, "restarts": restarts, "runs": len(disturbed), "processes": len(work)}


def finished(process: Process, act: Callable, argument: Any) -> int:
    """Wait for a process, start it again while it fails; returns how often. RuntimeError if it never ends well."""
    deadline = time.monotonic() + PATIENCE
    for again in range(TRIES):
        process.join(max(0.0, deadline - time.monotonic()))
        if process.exitcode == 0:
            return again
        if process.is_alive():
            process.kill()
            break
        time.sleep(0.1 * again)  # a compaction that was killed may need a moment to let go of its locks
        process = start(act, argument)
    process.join()
    raise RuntimeError(f"{argument.method.name} does not come to its end")


def undisturbed(calm: dict[str, list[list[str]]]) -> None:
    """The same runs, each in one undisturbed process."""
    for many in calm.values():
        cfg = composed([override for override in many[0] if not override.startswith("shard=")])
        finished(start(evaluate_job, cfg), evaluate_job, cfg)


def start(act: Callable, argument: Any) -> Process:
    """act(argument) in a process of its own, silent; it exits with 1 where act raises."""
    process = multiprocessing.get_context("fork").Process(target=_quietly, args=(act, argument))
    process.start()
    return process


def _quietly(act: Callable, argument: Any) -> None:
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    try:
        act(argument)
    except Exception:
        os._exit(1)
    os._exit(0)


def compact_all(results: Path) -> None:
    """Compact every run again and again; ends only when it is killed."""
    while True:
        for folder in results.glob("records/*"):
            with suppress(Held):
                compact(folder)
            time.sleep(0.1)
