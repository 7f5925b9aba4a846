"""Which choices leave a run's rows equal to the last bit, and what the others move: a measurement, not a promise.

    python -m scripts.determinism --pictures 24 --method gradcam gpnncam

Runs a method on the built-in data once as the reference and once for each variant (the same again, shards, resumed
after every few pictures, decoded by worker processes, batches, two threads, GPU), and prints a table: rows that differ
in any field but the timing, points that differ, and the largest difference of a number.
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path

import torch

from eval.records.rows import read_rows
from eval.records.schema import TIMING
from eval.running import runner
from eval.running.config import load
from eval.running.job import evaluate_job


def variants(pictures: int) -> dict[str, tuple[list[list[str]], int]]:
    """Name -> (overrides of the calls one after another, threads)."""
    steps = [[f"limit={count}"] for count in range(3, pictures, 3)]
    found = {
        "the same again": ([[]], 1),
        "three shards": ([["shard=1/3"], ["shard=3/3"], ["shard=2/3"]], 1),
        "resumed after every third picture": ([*steps, []], 1),
        "decoded by two processes": ([["workers=2"]], 1),
        "classes asked about in two calls": ([["dataset.subset=diff"], []], 1),
        "batches of 4 pictures": ([["batch_pictures=4"]], 1),
        "two threads": ([[]], 2),
    }
    if torch.cuda.is_available():
        found["GPU"] = ([["device=cuda"]], 1)
        found["GPU, batches of 4 pictures"] = ([["device=cuda", "batch_pictures=4"]], 1)
    return found


def rows(folder: Path, calls: list[list[str]], threads: int, common: list[str]) -> dict[tuple[str, str], dict]:
    torch.set_num_threads(threads)
    for overrides in calls:
        with contextlib.redirect_stdout(sys.stderr):
            evaluate_job(load([*common, f"results={folder}", *overrides]))
    (found,) = folder.glob("records/*")
    return {(row["key"], row["label"]): row for row in read_rows(found)}


def compare(reference: dict, other: dict) -> tuple[int, int, float]:
    """(rows that differ, points that differ, largest difference of a number), the timing left out."""
    if reference.keys() != other.keys():
        raise RuntimeError(f"{len(reference.keys() ^ other.keys())} pairs are in one run only")
    different = points = 0
    largest = 0.0
    for pair, row in reference.items():
        names = [name for name in row if name not in (*TIMING, "forwards")]
        different += any(row[name] != other[pair][name] for name in names)
        points += (row["x"], row["y"]) != (other[pair]["x"], other[pair]["y"])
        numbers = [name for name in names if isinstance(row[name], float) and isinstance(other[pair][name], float)]
        largest = max([largest, *(abs(row[name] - other[pair][name]) for name in numbers)])
    return different, points, largest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--method", nargs="+", default=["gradcam", "gpnncam"])
    parser.add_argument("--model", default="resnet50")
    given = parser.parse_args()
    runner.FEW = 1  # worker processes also for so few pictures
    print("| method | variant | rows | rows that differ | points that differ | largest difference |")
    print("|---|---|--:|--:|--:|--:|")
    for method in given.method:
        common = [f"method={method}", f"model={given.model}", f"limit={given.pictures}", "compare=false", "workers=0"]
        common.append("device=cpu")
        with tempfile.TemporaryDirectory() as place:
            reference = rows(Path(place) / "reference", [[]], 1, common)
            for name, (calls, threads) in variants(given.pictures).items():
                found = rows(Path(place) / name.replace(" ", "_"), calls, threads, common)
                different, points, largest = compare(reference, found)
                cells = [method, name, str(len(reference)), str(different), str(points), f"{largest:.2g}"]
                print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
