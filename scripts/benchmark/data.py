"""Pictures per second that decoding delivers, by worker processes, against what a network would take.

    python -m scripts.benchmark data                                   400 pictures of VOC's sizes, made here
    python -m scripts.benchmark data dataset=pascal dataset.root=DIR   real ones
    python -m scripts.benchmark data --gpu 400                         a GPU that takes 400 pictures/s

One JSON line per number of workers: pictures/s of reading, decoding and resizing to the network's input as a run does
it, starting the processes not counted, and how many workers a consumer of --gpu pictures/s needs so that it never
waits. Then one line in which the consumer really takes that time per picture: its share of time spent waiting.
"""

import argparse
import json
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from eval.datasets.pictures import Picture
from eval.files.places import cores
from eval.game.protocol import Input
from eval.game.sample import Sample
from eval.running.build import build_dataset
from eval.running.config import load
from eval.running.decoding import decoded

# GradCAM on ResNet50, the fastest method that needs a network, takes about this many pictures a second on a large card.
GPU = 400.0
SIZES = [(500, 375), (375, 500), (500, 333), (333, 500), (500, 400)]


def made(folder: Path, count: int) -> list[Sample]:
    """JPEGs of the sizes and the file size of VOC's (500 x 375, about 90 kB): smooth structure plus grain."""
    rng, samples = np.random.default_rng(0), []
    for number in range(count):
        width, height = SIZES[number % len(SIZES)]
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((width, height))
        noisy = np.asarray(coarse, np.int16) + rng.integers(-24, 25, (height, width, 1))
        name = f"{number:06d}.jpg"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / name, quality=85)
        box, label = np.array([[0, 0, width, height]]), np.array([0])
        picture = Picture(folder.resolve(), name, (width, height))
        samples.append(Sample(name, (width, height), box, label, np.array([False]), picture))
    return samples


def rate(samples: list[Sample], prepare, workers: int, seconds_each: float = 0.0) -> tuple[float, float]:
    """(pictures/s after the first, share of the time spent waiting) of a consumer that takes `seconds_each`."""
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


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE", help="as for run.py; none: made pictures")
    parser.add_argument("--count", type=int, default=400, help="pictures (400)")
    parser.add_argument("--repeats", type=int, default=3, help="the median counts (3)")
    parser.add_argument("--gpu", type=float, default=GPU, help=f"pictures/s of the consumer ({GPU:.0f})")
    parser.add_argument("--workers", type=int, nargs="+", default=sorted({0, 1, 2, cores()}))
    options = parser.parse_intermixed_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        samples, source = _samples(options, Path(folder))
        prepare = partial(source.pixels)
        one = 0.0
        for workers in options.workers:
            rate_of = statistics.median(rate(samples, prepare, workers)[0] for _ in range(options.repeats))
            one = rate_of / max(workers, 1) if workers <= 1 else one
            needed = int(-(-options.gpu // one)) if one else None
            line = {"workers": workers, "pictures_per_second": round(rate_of, 1), "workers_for_gpu": needed}
            print(json.dumps(line | {"pictures": len(samples), "cores": cores()}), flush=True)
        # Half of what the workers deliver: the consumer is the bottleneck if decoding overlaps with it at all.
        workers, each = max(options.workers), 2 / rate_of
        speed, waited = rate(samples, prepare, workers, each)
        line = {"workers": workers, "consumer_seconds": round(each, 5), "pictures_per_second": round(speed, 1)}
        print(json.dumps(line | {"waited": round(waited, 3)}))
    return 0


def _samples(options: argparse.Namespace, folder: Path) -> tuple[list[Sample], Input]:
    if not options.settings:
        return made(folder, options.count), Input()
    from omegaconf import OmegaConf

    from eval.game.protocol import Protocol

    cfg = load(options.settings)
    dataset = build_dataset(cfg)
    protocol = Protocol.from_settings(OmegaConf.to_container(cfg.protocol, resolve=True))
    return [dataset[index] for index in range(min(options.count, len(dataset)))], protocol.input
