"""Pictures per second of every method through the whole suite, and what the paper's table would cost in GPU hours.

    python -m scripts.benchmark throughput                                     the paper's methods, on the GPU if any
    python -m scripts.benchmark throughput --method gradcam --network vgg16 --pictures 8 --device cpu

Full-size networks with random weights; JPEG files of 500 x 375 pixels, decoded ahead by --workers, asked about one
class each, --batch at a time where a method takes several, their rows written with a sync a picture: `python run.py` in
all but the data. The first pictures warm up and do not count. One JSON line per network and method, then a table; hours
are those of 50,000 + 4,952 pictures (ILSVRC2012 val and VOC2007 test) with one class each; Pascal has 1.4.
"""

import argparse
import json
import multiprocessing
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from eval.datasets.pictures import Picture
from eval.game.protocol import Input
from eval.game.sample import Pair, Sample
from eval.networks.classifier import Classifier
from eval.networks.imagenet import untrained
from eval.records.rows import Rows
from eval.running.build import build_method
from eval.running.config import load
from eval.running.decoding import decoded
from eval.running.runner import Evaluation
from eval.running.settings import workers_of
from scripts.benchmark.gpnncam import LAYERS
from scripts.benchmark.methods import CAM

PAPER = ("gradcam", "gradcampp", "layercam", "relevancecam", "scorecam", "gpnncam")
PICTURES = 50_000 + 4_952
SIZE = (500, 375)
CLASSES = [str(number) for number in range(1000)]


def samples(folder: Path, count: int) -> list[Sample]:
    """Pictures with the detail of photographs, since that decides how long a JPEG takes to decode."""
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8)).resize(SIZE, Image.Resampling.BICUBIC)
        noise = rng.normal(0, 8, (SIZE[1], SIZE[0], 3))
        name = f"{number}.jpg"
        Image.fromarray((np.asarray(coarse) + noise).clip(0, 255).astype(np.uint8)).save(folder / name, quality=90)
        box = np.array([[50, 40, 250, 200]])
        opens = Picture(folder, name, SIZE)
        pictures.append(Sample(str(number), SIZE, box, np.array([number % 1000]), np.zeros(1, bool), opens))
    return pictures


def measure(network: str, name: str, given: argparse.Namespace) -> dict:
    """The record of one method on one network."""
    torch.manual_seed(0)
    layers = {"cam": CAM[network], "relevance": CAM[network], "gpnncam": LAYERS[network]}
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    classifier = Classifier(untrained(network), mean, std, layers, CLASSES, device=given.device)
    cfg = load([f"method={name}"])
    method = build_method(cfg.method, classifier, CLASSES)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        warm = min(given.batch, given.pictures)
        entries = [
            (i, s, [Pair(int(s.labels[0]), False)]) for i, s in enumerate(samples(folder, warm + given.pictures))
        ]
        with Rows(folder / "run") as rows:
            loop = Evaluation(
                method,
                classifier,
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
    cuda = classifier.device.type == "cuda"
    return {
        "benchmark": "throughput",
        "network": network,
        "method": name,
        "label": cfg.method.get("label", name),
        "device": torch.cuda.get_device_name(classifier.device) if cuda else "cpu",
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
    with tempfile.TemporaryDirectory() as place:
        stream = decoded(samples(Path(place), count), Input().pixels, workers)
        next(stream)
        started = time.perf_counter()
        rest = sum(1 for _ in stream)
        return rest / (time.perf_counter() - started)


def markdown(records: list[dict]) -> str:
    """The table of the records; the GPU's columns are empty where there was none."""
    lines = ["| network | method | pictures/s, CPU | pictures/s, GPU | GPU hours of the paper's table |"]
    lines.append("|---|---|--:|--:|--:|")
    for record in records:
        rate = f"{record['per_second']:.3g}"
        cells = [rate, "", ""] if record["device"] == "cpu" else ["", rate, f"{record['hours']:.1f}"]
        lines.append(f"| {' | '.join([record['network'], record['label'], *cells])} |")
    hours = [record["hours"] for record in records if record["device"] != "cpu"]
    if hours and len(hours) == len(records):
        lines.append(f"| all | | | | {sum(hours):.1f} |")
    return "\n".join(lines)


def _child(pipe, *what) -> None:
    try:
        pipe.send(measure(*what))
    except Exception as error:
        pipe.send(f"{what[1]} on {what[0]}: {type(error).__name__}: {error}")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark throughput",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--network", nargs="+", choices=list(CAM), default=["vgg16", "resnet50"])
    parser.add_argument("--method", nargs="+", default=list(PAPER), metavar="NAME")
    parser.add_argument("--pictures", type=int, help="measured per method; default: 256 on a GPU, 2 without")
    parser.add_argument("--batch", type=int, help="pictures per call; default: 32 on a GPU, 1 without")
    parser.add_argument("--workers", type=int, help="processes that decode (from 128 pictures on); default: as run.py")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    given = parser.parse_args(argv)
    cuda = torch.device(given.device).type == "cuda"
    given.workers = workers_of(given.workers, given.device)
    given.pictures = given.pictures or (256 if cuda else 2)
    given.batch = given.batch or (32 if cuda else 1)
    context, records, failed = multiprocessing.get_context("spawn"), [], 0
    rate = decoding(given.workers, 64)
    print(json.dumps({"benchmark": "decoding", "workers": given.workers, "per_second": round(rate, 1)}), flush=True)
    for network in given.network:
        for method in given.method:
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_child, args=(sender, network, method, given))
            process.start()
            sender.close()
            try:
                answer = receiver.recv()
            except EOFError:
                answer = f"{method} on {network}: the process was killed"
            process.join()
            if isinstance(answer, str):
                failed += 1
                print(f"error: {answer}", file=sys.stderr)
                continue
            records.append(answer)
            print(json.dumps(answer), flush=True)
    print(f"\n{markdown(records)}")
    return 1 if failed else 0
