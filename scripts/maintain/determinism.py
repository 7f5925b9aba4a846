"""Which choices leave a run's rows equal to the last bit, and what the others move.

    python -m scripts.maintain.determinism --pictures 24 --method gradcam gpnncam

Runs a method on the built-in data once as the reference and once for each variant (the same again, shards, resumed
after every few pictures, decoded by worker processes, batches, two threads, GPU), and prints a table: rows that differ
in any field but the timing, points that differ, and the largest difference of a number. The exit status is 1 where a
point differs, or where any field does though nothing about the arithmetic was changed (all variants but batches,
threads and GPU).
"""

import argparse
import contextlib
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from eval.files.markdown import markdown_table
from scripts.command import Command, command

if TYPE_CHECKING:
    from collections.abc import Iterator

# Variants whose sums run in another order: numbers may move in their last digits, points may not.
OTHER_SUMS = ("batches", "threads", "GPU")


def variants(pictures: int) -> dict[str, tuple[list[list[str]], int]]:
    """Name -> (overrides of the calls one after another, threads)."""
    import torch

    steps = [[f"limit={count}"] for count in range(3, pictures, 3)]
    changes = {
        "the same again": ([[]], 1),
        "three shards": ([["shard=1/3"], ["shard=3/3"], ["shard=2/3"]], 1),
        "resumed after every third picture": ([*steps, []], 1),
        "decoded by two processes": ([["workers=2"]], 1),
        "classes evaluated in two calls": ([["dataset.subset=diff"], []], 1),
        "batches of 4 pictures": ([["batch_pictures=4"]], 1),
        "two threads": ([[]], 2),
    }
    if torch.cuda.is_available():
        changes["GPU"] = ([["device=cuda"]], 1)
        changes["GPU, batches of 4 pictures"] = ([["device=cuda", "batch_pictures=4"]], 1)
    return changes


def rows(folder: Path, calls: list[list[str]], threads: int, common: list[str]) -> dict[tuple[str, str], dict]:
    """{(picture, class): row} of a run that these calls make in an empty folder."""
    import torch

    from eval.records.rows import read_rows
    from eval.running.config import load
    from eval.running.job import evaluate_job

    torch.set_num_threads(threads)
    for overrides in calls:
        with contextlib.redirect_stdout(sys.stderr):
            evaluate_job(load([*common, f"results={folder}", *overrides]))
    (run,) = folder.glob("records/*")
    return {(row["key"], row["label"]): row for row in read_rows(run)}


def differences(reference: dict, other: dict) -> tuple[int, int, float]:
    """(rows that differ, points that differ, largest difference of a number), the timing left out."""
    from eval.records.schema import TIMING

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


def measured(common: list[str], pictures: int) -> "Iterator[tuple[str, int, int, int, float]]":
    """(variant, rows, rows that differ, points that differ, largest difference) of one method's settings."""
    with tempfile.TemporaryDirectory() as place:
        reference = rows(Path(place) / "reference", [[]], 1, common)
        for name, (calls, threads) in variants(pictures).items():
            yield name, len(reference), *differences(reference, rows(Path(place) / f"v{name}", calls, threads, common))


def moved(variant: str, different: int, points: int) -> bool:
    """Whether a variant changed what it must not."""
    return points > 0 or (different > 0 and not any(word in variant for word in OTHER_SUMS))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--method", nargs="+", default=["gradcam", "gpnncam"])
    parser.add_argument("--model", default="resnet50")


def act(given: argparse.Namespace) -> int:
    from eval.running import evaluation

    evaluation.FEW = 1  # worker processes also for so few pictures
    lines = [["method", "variant", "rows", "rows that differ", "points that differ", "largest difference"]]
    bad: list[str] = []
    for method in given.method:
        common = [f"method={method}", f"model={given.model}", f"limit={given.pictures}", "compare=false", "workers=0"]
        for name, count, different, points, largest in measured([*common, "device=cpu"], given.pictures):
            lines.append([method, name, str(count), str(different), str(points), f"{largest:.2g}"])
            print(" ".join(lines[-1]), file=sys.stderr, flush=True)
            if moved(name, different, points):
                bad.append(f"{method}, {name}: {different} rows and {points} points differ")
    print(markdown_table(lines, texts=(0, 1)))
    for line in bad:
        print(f"error: {line}", file=sys.stderr)
    return 1 if bad else 0


main = command(Command("scripts.maintain.determinism", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
