"""Seconds per picture and peak memory of every method, beside the network's plain forward pass.

    python -m scripts.benchmark methods                                   full-size ResNet50 and VGG16, random weights
    python -m scripts.benchmark methods --method gradcam scorecam --network vgg16 --classes 3
    python -m scripts.benchmark methods --markdown FILE                   FILE's lines as the README's table

One JSON line per network and method. `seconds`: median of the calls made within --budget, the first left out where
there is a second; `calls`: how many. `forward`: seconds per picture of plain forward passes in the method's batches,
taken in turn with the method's calls; `passes`: pictures that passed the network; `ratio` = seconds / forward;
`per_pass` = ratio / passes; `cpu_ratio`: the same as `ratio` in seconds of CPU, for a machine with other work to do;
`memory_gb`: highest resident memory above what the process held with the network loaded, plain forward pass included
(on a card: the highest allocation). Each measurement has a process of its own.
"""

import argparse
import json
import multiprocessing
import statistics
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import torch
from omegaconf import OmegaConf

from eval.files.places import ROOT
from eval.networks.classifier import Classifier
from eval.networks.imagenet import untrained
from eval.running.build import build_method
from eval.running.config import load
from scripts.benchmark.gpnncam import LAYERS as GPNNCAM_LAYERS
from scripts.benchmark.gpnncam import picture, resident_gb

CAM = {"resnet50": ["layer4"], "vgg16": ["features.29"], "vgg16_bn": ["features.42"], "mobilenet_v2": ["features.18"]}
# What takes minutes is measured in part; the record says so.
SHORT = {"rise": ["method.build.masks=400"], "extremal_perturbation": ["method.build.max_iter=10"]}
STAGES = {  # whose outputs excitation backprop (the second) and RefineCAM (all) read
    "resnet50": ["layer4", "layer3", "layer2", "layer1"],
    "vgg16": ["features.30", "features.23", "features.16", "features.9"],
    "vgg16_bn": ["features.43", "features.33", "features.23", "features.13"],
    "mobilenet_v2": ["features.18", "features.13", "features.6", "features.3"],
}
# Of the README's table: its columns for each network.
COLUMNS = {
    "seconds": ("seconds", ".2f"),
    "pictures": ("passes", ",d"),
    "forward passes": ("ratio", ",.1f"),
    "GB": ("memory_gb", ".2f"),
}
METHODS = Path(ROOT / "conf" / "method")


def seeing() -> list[str]:
    """Names of the methods that ask the network."""
    settings = {path.stem: OmegaConf.load(path) for path in sorted(METHODS.glob("*.yaml"))}
    return [name for name, method in settings.items() if not method.get("blind", False) and name != "custom"]


def measure(name: str, method_name: str, arguments: argparse.Namespace) -> dict:
    """The record of one method on one network."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    layers = {"cam": CAM[name], "relevance": CAM[name], "gpnncam": GPNNCAM_LAYERS[name]}
    layers |= {"excitation": STAGES[name][1:2], "refine": STAGES[name]}
    classes = [str(i) for i in range(1000)]
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    classifier = Classifier(untrained(name), mean, std, layers, classes, device=device)
    settings = [*SHORT.get(method_name, []), *arguments.setting]
    cfg = load([f"method={method_name}", *settings])
    method = build_method(cfg.method, classifier, classes)
    image = picture(arguments.side).to(device)
    targets = torch.arange(arguments.classes)
    batch = at_once(method, classifier, image) if method_name != "ablationcam" else 1

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def timed(call) -> tuple[float, float]:
        synchronise()
        start = perf_counter(), process_time()
        call()
        synchronise()
        return perf_counter() - start[0], process_time() - start[1]

    def forward() -> None:
        with torch.no_grad():
            classifier.network(classifier.normalise(image).expand(batch, -1, -1, -1).contiguous())

    before = resident_gb()
    timed(forward)
    seconds, forwards, spent = [], [], 0.0
    while not seconds or (spent < arguments.budget and len(seconds) <= arguments.calls):
        forwards.append(timed(forward))
        torch.manual_seed(len(seconds))
        seen = classifier.images_seen
        seconds.append(timed(lambda: method(image, targets)))
        passes = classifier.images_seen - seen
        forwards.append(timed(forward))
        spent += seconds[-1][0]
    seconds = seconds[1:] or seconds
    total, cpu = (statistics.median(column) for column in zip(*seconds, strict=True))
    plain, plain_cpu = (statistics.median(column) / batch for column in zip(*forwards, strict=True))
    on_card = device.type == "cuda"
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if on_card else resident_gb() - before
    return {
        "benchmark": "methods",
        "network": name,
        "method": method_name,
        "label": cfg.method.get("label", method_name),
        "settings": settings,
        "side": arguments.side,
        "classes": arguments.classes,
        "device": torch.cuda.get_device_name(device) if on_card else "cpu",
        "threads": torch.get_num_threads(),
        "batch": batch,
        "seconds": round(total, 4),
        "calls": len(seconds),
        "forward": round(plain, 4),
        "passes": passes,
        "ratio": round(total / plain, 2),
        "per_pass": round(total / plain / passes, 3) if passes else None,
        "cpu_ratio": round(cpu / plain_cpu, 2),
        "memory_gb": round(memory, 3),
    }


def at_once(method: Any, classifier: Classifier, image: torch.Tensor) -> int:
    """Pictures (3,h,w) that the method passes through the network together."""
    passes = getattr(method, "passes", None)
    if passes is None or passes.batch is not None:
        return getattr(method, "batch", 1)
    with torch.no_grad():
        passes(classifier.normalise(image))
    return next(iter(passes.fitting.values()), method.batch)


def markdown(lines: list[str]) -> str:
    """The table of a file of records, a line per method; ValueError names a line that is none, or is there twice."""
    cells: dict[str, dict[str, list[str]]] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            notes = ", ".join(part.rsplit(".", 1)[-1] for part in record["settings"])
            name, network = record["label"] + f" ({notes})" * bool(notes), record["network"]
            numbers = [f"{record[key]:{how}}" for key, how in COLUMNS.values()]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is no record of this benchmark: {error}") from error
        if network in cells.setdefault(name, {}):
            raise ValueError(f"line {number}: {name} on {network} is there twice")
        cells[name][network] = numbers
    networks = list(dict.fromkeys(network for found in cells.values() for network in found))
    head = ["method", *(f"{network}: {column}" for network in networks for column in COLUMNS)]
    empty = [""] * len(COLUMNS)
    rows = [[name, *(n for network in networks for n in found.get(network, empty))] for name, found in cells.items()]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] + ["--:"] * (len(head) - 1), *rows])


def _child(pipe, *what) -> None:
    try:
        pipe.send(measure(*what))
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {error}")


def in_its_own_process(*what) -> dict:
    """`measure` in a fresh process, whose peak memory is then its own. RuntimeError if it fails."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(sender, *what))
    process.start()
    sender.close()
    try:
        answer = receiver.recv()
    except EOFError:
        process.join()
        answer = f"the process ended with exit code {process.exitcode}"
    process.join()
    if isinstance(answer, str):
        raise RuntimeError(f"{what[1]} on {what[0]}: {answer}")
    return answer


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark methods", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    known = seeing()
    parser.add_argument("--network", nargs="+", choices=list(CAM), default=["resnet50", "vgg16"])
    parser.add_argument("--method", nargs="+", choices=known, default=known, metavar="NAME", help=", ".join(known))
    parser.add_argument("--classes", type=int, default=1, help="classes asked about in the one picture")
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--budget", type=float, default=10, help="seconds of calls after which a method has had enough")
    parser.add_argument("--calls", type=int, default=9, help="most calls of a method")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; default: torch's own choice")
    parser.add_argument("--setting", nargs="*", default=[], help="of the methods, e.g. method.build.masks=40")
    parser.add_argument("--markdown", metavar="FILE", help="print the table of a file of records instead")
    arguments = parser.parse_args(argv)
    if arguments.markdown:
        print(markdown(Path(arguments.markdown).read_text(encoding="utf-8").splitlines()))
        return 0
    failed = 0
    for network in arguments.network:
        for method in arguments.method:
            try:
                print(json.dumps(in_its_own_process(network, method, arguments)), flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"error: {error}", file=sys.stderr)
    return 1 if failed else 0
