"""Kill runs at random moments, restart them, and compare their rows with those of runs that nobody disturbed.

    python -m scripts.chaos --kills 100

Several runs of the built-in data go on at once, one of them in shards, one with a network and saved maps, while a
further process compacts their rows; SIGKILL hits one of them every fraction of a second. Afterwards every run is
finished, and its rows must equal those of an undisturbed run byte for byte, the timing fields apart. Ends with a line
of JSON: kills, restarts (more than kills where a process found its run locked and was started again), rows.
"""

import argparse
import json
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch
from omegaconf import DictConfig

from eval.files.locks import Held
from eval.records.rows import compact, read_rows
from eval.records.schema import TIMING
from eval.running.config import load
from eval.running.job import evaluate_job, prepare_dataset

PATIENCE = 600.0  # seconds after the last kill


def wait_and_draw(sample, targets, classes, seconds: float):
    """A blind method that takes its time: maps (K,7,7) drawn from the generator that the runner has seeded."""
    time.sleep(seconds)
    return torch.rand(len(targets), 7, 7)


def jobs(results: Path, pictures: int, seconds: float, network: bool) -> dict[str, list[list[str]]]:
    """Overrides of every process by run: one a run, or one a shard."""
    common = [f"limit={pictures}", f"results={results}", "compare=false", "device=cpu", "workers=0"]
    slow = [*common, "method=custom", "method.blind=true", "method.build._target_=scripts.chaos.wait_and_draw"]
    slow += [f"+method.build.seconds={seconds}"]
    shards = [[*slow, "method.name=sharded", "sync=second", f"shard={number}/3"] for number in (1, 2, 3)]
    found = {"waiting": [[*slow, "method.name=waiting", "save_maps=true"]], "sharded": shards}
    if network:
        found["gradcam"] = [[*common, "method=gradcam", "save_maps=true"]]
    return found


def chaos(folder: Path, kills: int, pictures: int, seconds: float, pause: float, seed: int, network: bool) -> dict:
    """The figures of the last line; RuntimeError where rows differ. folder: an empty one, for all results."""
    torch.set_num_threads(1)  # forked processes must not inherit a pool of threads that they do not have
    draw = random.Random(seed)
    disturbed = jobs(folder / "disturbed", pictures, seconds, network)
    work = [(evaluate_job, load(overrides)) for many in disturbed.values() for overrides in many]
    prepare_dataset(work[0][1])  # once, before the forks
    work.append((compact_all, folder / "disturbed"))
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
    deadline = time.monotonic() + PATIENCE
    for number, process in enumerate(living):
        process.join(PATIENCE)
        while process.exitcode != 0:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{work[number][1]} does not come to its end")
            process, restarts = start(*work[number]), restarts + 1
            process.join(PATIENCE)
    for many in jobs(folder / "calm", pictures, 0.0, network).values():
        overrides = [override for override in many[0] if not override.startswith("shard=")]
        calm = start(evaluate_job, load(overrides))
        calm.join(PATIENCE)
    rows = 0
    for name in disturbed:
        found, expected = (sorted(lines(folder / part, name)) for part in ("disturbed", "calm"))
        if found != expected or not expected:
            raise RuntimeError(f"{name}: {differences(found, expected)}")
        rows += len(found)
    return {"kills": done, "restarts": restarts, "runs": len(disturbed), "processes": len(work), "rows": rows}


def start(act, argument) -> multiprocessing.Process:
    process = multiprocessing.get_context("fork").Process(target=_quietly, args=(act, argument))
    process.start()
    return process


def _quietly(act, argument: DictConfig | Path) -> None:
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


def lines(results: Path, method: str) -> Iterator[str]:
    """The rows of a method's only run as they are compared."""
    (folder,) = results.glob(f"records/*.{method}.*")
    for row in read_rows(folder):
        yield json.dumps({name: value for name, value in row.items() if name not in TIMING}, sort_keys=True)


def differences(found: list[str], expected: list[str]) -> str:
    lost, strange = set(expected) - set(found), set(found) - set(expected)
    return (
        f"{len(found)} rows instead of {len(expected)}; {len(lost)} are lost or differ, {len(strange)} should not be "
        f"there, for example {next(iter(strange or lost), 'one that stands twice')}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--pictures", type=int, default=200, help="of the built-in data, per run")
    parser.add_argument("--seconds", type=float, default=0.1, help="that the waiting runs take for a picture")
    parser.add_argument("--pause", type=float, default=0.3, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        try:
            report = chaos(Path(folder), given.kills, given.pictures, given.seconds, given.pause, given.seed, True)
        except RuntimeError as error:
            sys.exit(f"error: {error}")
    print(json.dumps(report | {"identical": True, "seconds": round(time.monotonic() - started)}))


if __name__ == "__main__":
    from scripts.chaos import main  # the method is named scripts.chaos.X in the config: one copy of this module

    main()
