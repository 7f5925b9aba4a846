"""Pictures per second of every method through the whole suite, and what the paper's table would cost in GPU hours.

    python -m scripts.maintain.benchmark throughput                               the paper's methods, on the GPU if any
    python -m scripts.maintain.benchmark throughput --method gradcam --network vgg16 --pictures 8 --device cpu

Full-size networks with random weights; JPEG files of 500 x 375 pixels, decoded ahead by --workers, explained for one
class each, --batch at a time where a method takes several, their rows written with a sync a picture: `python run.py` in
all but the data. The first pictures warm up and do not count. One JSON line per network and method, then a table; hours
are those of 50,000 + 4,952 pictures (ILSVRC2012 val and VOC2007 test) with one class each; Pascal has 1.4.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from eval.files.markdown import markdown_table
from scripts.command import Command, command
from scripts.maintain.benchmark.networks import CLASSES, NETWORKS, classifier
from scripts.maintain.benchmark.pictures import photographs
from scripts.maintain.benchmark.process import alone, device_name

PAPER = ("gradcam", "gradcampp", "layercam", "relevancecam", "scorecam", "gpnncam")
PICTURES = 50_000 + 4_952
SIZES = ((500, 375),)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=["vgg16", "resnet50"])
    parser.add_argument("--method", nargs="+", default=list(PAPER), metavar="NAME")
    parser.add_argument("--pictures", type=int, help="measured per method; default: 256 on a GPU, 2 without")
    parser.add_argument("--batch", type=int, help="pictures per call; default: 32 on a GPU, 1 without")
    parser.add_argument("--workers", type=int, help="processes that decode (from 128 pictures on); default: as run.py")
    parser.add_argument("--device", help="default: the GPU if there is one")


def act(given: argparse.Namespace) -> int:
    import torch

    from eval.running.settings import workers_of

    given.device = given.device or ("cuda" if torch.cuda.is_available() else "cpu")
    cuda = torch.device(given.device).type == "cuda"
    given.workers = workers_of(given.workers, given.device)
    given.pictures = given.pictures or (256 if cuda else 2)
    given.batch = given.batch or (32 if cuda else 1)
    records, failed = [], 0
    rate = decoding(given.workers, 64)
    print(json.dumps({"benchmark": "decoding", "workers": given.workers, "per_second": round(rate, 1)}), flush=True)
    for network in given.network:
        for method in given.method:
            try:
                records.append(alone(measure, network, method, given))
                print(json.dumps(records[-1]), flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"error: {method} on {network}: {error}", file=sys.stderr)
    print(f"\n{markdown(records)}")
    return 1 if failed else 0


def measure(network: str, name: str, given: argparse.Namespace) -> dict:
    """The record of one method on one network."""
    import torch

    from eval.game.protocol import Input
    from eval.game.sample import Pair
    from eval.records.rows import Rows
    from eval.running.build import build_method
    from eval.running.config import load
    from eval.running.evaluation import Evaluation

    built = classifier(network, given.device)
    cfg = load([f"method={name}"])
    method = build_method(cfg.method, built, CLASSES)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        warm = min(given.batch, given.pictures)
        entries = [
            (i, s, [Pair(int(s.labels[0]), False)])
            for i, s in enumerate(photographs(folder, warm + given.pictures, SIZES))
        ]
        with Rows(folder / "run") as rows:
            loop = Evaluation(
                method,
                built,
                Input(),
                rows,
                CLASSES,
                seed=0,
                workers=given.workers,
                batch_pictures=given.batch,
            )
            loop.run(entries[:warm])
            started = time.perf_counter()
            loop.run(entries[warm:])
            seconds = time.perf_counter() - started
    cuda = built.device.type == "cuda"
    return {
        "benchmark": "throughput",
        "network": network,
        "method": name,
        "label": cfg.method.get("label", name),
        "device": device_name(built.device),
        "threads": torch.get_num_threads(),
        "workers": given.workers,
        "batch": given.batch if hasattr(method, "many") else 1,
        "pictures": given.pictures,
        "per_second": round(given.pictures / seconds, 4),
        "hours": round(PICTURES * seconds / given.pictures / 3600, 2),
        "memory_gb": round(torch.cuda.max_memory_allocated() / 1e9, 2) if cuda else None,
        "date": time.strftime("%Y-%m-%d"),
    }


def decoding(workers: int, count: int) -> float:
    """Pictures per second that the loader alone delivers, the start of its processes left out."""
    from eval.game.protocol import Input
    from eval.running.decoding import decoded

    with tempfile.TemporaryDirectory() as place:
        stream = decoded(photographs(Path(place), count, SIZES), Input().pixels, workers)
        next(stream)
        started = time.perf_counter()
        rest = sum(1 for _ in stream)
        return rest / (time.perf_counter() - started)


def markdown(records: list[dict]) -> str:
    """The table of the records; the GPU's columns are empty where there was none."""
    lines = [["network", "method", "pictures/s, CPU", "pictures/s, GPU", "GPU hours of the paper's table"]]
    for record in records:
        rate = f"{record['per_second']:.3g}"
        cells = [rate, "", ""] if record["device"] == "cpu" else ["", rate, f"{record['hours']:.1f}"]
        lines.append([record["network"], record["label"], *cells])
    hours = [record["hours"] for record in records if record["device"] != "cpu"]
    if hours and len(hours) == len(records):
        lines.append(["all", "", "", "", f"{sum(hours):.1f}"])
    return markdown_table(lines, texts=(0, 1))


main = command(Command("scripts.maintain.benchmark throughput", __doc__, add_arguments, act))
