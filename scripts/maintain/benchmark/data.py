"""Pictures per second that decoding delivers, by worker processes, against what a network would take.

    python -m scripts.maintain.benchmark data                                   400 pictures of VOC's sizes, made here
    python -m scripts.maintain.benchmark data dataset=pascal dataset.root=DIR   real ones
    python -m scripts.maintain.benchmark data --gpu 400                         a GPU that takes 400 pictures/s

One JSON line per number of workers: pictures/s of reading, decoding and resizing to the network's input as a run does
it, starting the processes not counted, and how many workers a consumer of --gpu pictures/s needs so that it never
waits. Then one line in which the consumer really takes that time per picture: its share of time spent waiting.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from eval.files.places import cores
from scripts.command import Command, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from eval.game.protocol import Input
    from eval.game.sample import Sample
    from eval.running.settings import protocol_of

# GradCAM on ResNet50, the fastest method that needs a network, takes about this many pictures a second on a large card.
GPU = 400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="as for run.py; none: pictures made here")
    parser.add_argument("--count", type=int, default=400, help="pictures; default: %(default)s")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts; default: %(default)s")
    parser.add_argument("--gpu", type=float, default=GPU, help="pictures/s of the consumer; default: %(default).0f")
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({0, 1, 2, cores()}))


def act(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        samples, shown = _samples(options, Path(folder))
        one = 0.0
        for workers in options.workers:
            speed = statistics.median(rate(samples, shown.pixels, workers)[0] for _ in range(options.repeats))
            one = speed / max(workers, 1) if workers <= 1 else one
            needed = int(-(-options.gpu // one)) if one else None
            line = {"workers": workers, "pictures_per_second": round(speed, 1), "workers_for_gpu": needed}
            print(json.dumps(line | {"pictures": len(samples), "cores": cores()}), flush=True)
        # Half of what the workers deliver: the consumer is the bottleneck if decoding overlaps with it at all.
        workers, each = max(options.workers), 2 / speed
        speed, waited = rate(samples, shown.pixels, workers, each)
        line = {"workers": workers, "consumer_seconds": round(each, 5), "pictures_per_second": round(speed, 1)}
        print(json.dumps(line | {"waited": round(waited, 3)}))


def rate(samples: list[Sample], prepare: Callable, workers: int, seconds_each: float = 0.0) -> tuple[float, float]:
    """(pictures/s after the first, share of the time spent waiting) of a consumer that takes `seconds_each`."""
    from eval.running.decoding import decoded

    waited, count, started = 0.0, 0, None
    stream = decoded(samples, prepare, workers)
    before = time.perf_counter()
    for _, pixels in stream:
        now = time.perf_counter()
        if isinstance(pixels, Exception):
            raise pixels
        if started is None:
            started = now
        else:
            waited += now - before
            count += 1
        if seconds_each:
            time.sleep(seconds_each)
        before = time.perf_counter()
    took = before - started
    return count / took, waited / took


def _samples(options: argparse.Namespace, folder: Path) -> tuple[list[Sample], Input]:
    from eval.game.protocol import Input
    from eval.running.build import build_dataset
    from eval.running.config import load
    from scripts.maintain.benchmark.pictures import photographs

    if not options.settings:
        return photographs(folder, options.count), Input()
    cfg = load(options.settings)
    dataset = build_dataset(cfg)
    protocol = protocol_of(cfg)
    return [dataset[index] for index in range(min(options.count, len(dataset)))], protocol.input


main = command(Command("scripts.maintain.benchmark data", __doc__, add_arguments, act))
