"""Seconds per picture and peak memory of every method, beside the network's plain forward pass.

    python -m scripts.maintain.benchmark methods                            full-size ResNet50 and VGG16, random weights
    python -m scripts.maintain.benchmark methods --method gradcam scorecam --network vgg16 --classes 3
    python -m scripts.maintain.benchmark methods --markdown FILE                   FILE's lines as the README's table

One JSON line per network and method. `seconds`: median of the calls made within --budget, the first left out where
there is a second; `calls`: how many. `forward`: seconds per picture of plain forward passes in the method's batches,
taken in turn with the method's calls; `passes`: pictures that passed the network; `ratio` = seconds / forward;
`per_pass` = ratio / passes; `cpu_ratio`: the same as `ratio` in seconds of CPU, for a machine with other work to do;
`memory_gb`: highest resident memory above what the process held with the network loaded, plain forward pass included
(on a card: the highest allocation). Each measurement has a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from eval.files.markdown import markdown_table
from eval.files.places import CONF, near
from scripts.command import Command, command
from scripts.maintain.benchmark.networks import NETWORKS, classifier
from scripts.maintain.benchmark.pictures import discs
from scripts.maintain.benchmark.process import alone, device_name, memory_gb, resident_mb

if TYPE_CHECKING:
    from torch import Tensor

    from eval.networks.classifier import Classifier

# A first call also makes what later ones find made, so it is left out, unless it alone took so many times the budget.
WARM = 5
# Methods that take minutes are measured with fewer passes; the record names the settings.
SHORT = {"rise": ["method.build.masks=400"], "extremal_perturbation": ["method.build.max_iter=10"]}
# Of the README's table: its columns for each network. On a card, seconds of CPU say little.
COLUMNS = {
    "seconds": ("seconds", ".2f"),
    "pictures": ("passes", ",d"),
    "forward passes": ("cpu_ratio", ",.1f"),
    "GB": ("memory_gb", ".2f"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=["resnet50", "vgg16"])
    parser.add_argument("--method", nargs="+", metavar="NAME", help="of conf/method; default: all that read a network")
    parser.add_argument("--classes", type=int, default=1, help="classes explained in the one picture")
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--budget", type=float, default=10, help="seconds of calls after which a method has had enough")
    parser.add_argument("--calls", type=int, default=9, help="most calls of a method")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch; default: torch's own choice")
    parser.add_argument("--setting", nargs="*", default=[], help="of the methods, e.g. method.build.masks=40")
    parser.add_argument("--markdown", metavar="FILE", help="print the table of a file of records instead")


def act(arguments: argparse.Namespace) -> int:
    if arguments.markdown:
        print(markdown(Path(arguments.markdown).read_text(encoding="utf-8").splitlines()))
        return 0
    known = seeing()
    if unknown := [name for name in arguments.method or () if name not in known]:
        raise ValueError(f"no method {unknown[0]!r} reads a network; near names: {near(unknown[0], known)}")
    failed = 0
    for network in arguments.network:
        for method in arguments.method or known:
            try:
                print(json.dumps(alone(measure, network, method, arguments)), flush=True)
            except RuntimeError as error:
                failed += 1
                print(f"error: {method} on {network}: {error}", file=sys.stderr)
    return 1 if failed else 0


def seeing() -> list[str]:
    """Names of the methods that read a network."""
    from omegaconf import OmegaConf

    settings = {path.stem: OmegaConf.load(path) for path in sorted((CONF / "method").glob("*.yaml"))}
    return [name for name, method in settings.items() if not method.get("blind", False) and name != "custom"]


def measure(network: str, name: str, arguments: argparse.Namespace) -> dict:
    """The record of one method on one network."""
    import torch

    from eval.running.build import build_method
    from eval.running.config import load

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    built = classifier(network, arguments.device)
    device = built.device
    settings = [*SHORT.get(name, []), *arguments.setting]
    cfg = load([f"method={name}", *settings])
    method = build_method(cfg.method, built, built.classes)
    image = discs(arguments.side).to(device)
    targets = torch.arange(arguments.classes)
    batch = at_once(method, built, image) if name != "ablationcam" else 1

    def synchronise() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def timed(call: Callable[[], object]) -> tuple[float, float]:
        synchronise()
        start = perf_counter(), process_time()
        call()
        synchronise()
        return perf_counter() - start[0], process_time() - start[1]

    def forward() -> None:
        with torch.no_grad():
            built.network(built.normalise(image).expand(batch, -1, -1, -1).contiguous())

    before = resident_mb()
    timed(forward)
    seconds, forwards, spent = [], [], 0.0
    while not seconds or (spent < arguments.budget and len(seconds) <= arguments.calls):
        if seconds:
            forwards.append(timed(forward))
        torch.manual_seed(len(seconds))
        seen = built.images_seen
        seconds.append(timed(lambda: method(image, targets)))
        passes = built.images_seen - seen
        batch = min(batch, passes or 1)
        forwards.append(timed(forward))
        if len(seconds) > 1 or seconds[0][0] > WARM * arguments.budget:
            spent += seconds[-1][0]
    seconds = seconds[1:] or seconds
    total, cpu = (statistics.median(column) for column in zip(*seconds, strict=True))
    plain, plain_cpu = (statistics.median(column) / batch for column in zip(*forwards, strict=True))
    return {
        "benchmark": "methods",
        "network": network,
        "method": name,
        "label": cfg.method.get("label", name),
        "settings": settings,
        "side": arguments.side,
        "classes": arguments.classes,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "batch": batch,
        "seconds": round(total, 4),
        "calls": len(seconds),
        "forward": round(plain, 4),
        "passes": passes,
        "ratio": round(total / plain, 2),
        "per_pass": round(total / plain / passes, 3) if passes else None,
        "cpu_ratio": round(cpu / plain_cpu, 2),
        "memory_gb": round(memory_gb(device, before), 3),
    }


def at_once(method: Any, classifier: Classifier, image: Tensor) -> int:
    """Pictures (3,h,w) that the method passes through the network together."""
    passes = getattr(method, "passes", None)
    return getattr(method, "batch", 1) if passes is None else passes.at_once(classifier.normalise(image))


def markdown(lines: list[str]) -> str:
    """The table of a file of records, a line per method; ValueError names a line that is none, or is there twice."""
    cells: dict[str, dict[str, list[str]]] = {}
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            notes = ", ".join(part.rsplit(".", 1)[-1] for part in record["settings"])
            name, network = record["label"] + f" ({notes})" * bool(notes), record["network"]
            of_card = {"cpu_ratio": "ratio"} if record["device"] != "cpu" else {}
            numbers = [f"{record[of_card.get(key, key)]:{how}}" for key, how in COLUMNS.values()]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"line {number} is no record of this benchmark: {error}") from error
        if network in cells.setdefault(name, {}):
            raise ValueError(f"line {number}: {name} on {network} is there twice")
        cells[name][network] = numbers
    networks = list(dict.fromkeys(network for columns in cells.values() for network in columns))
    head = ["method", *(f"{network}: {column}" for network in networks for column in COLUMNS)]
    empty = [""] * len(COLUMNS)
    rows = [
        [name, *(n for network in networks for n in columns.get(network, empty))] for name, columns in cells.items()
    ]
    return markdown_table([head, *rows])


main = command(Command("scripts.maintain.benchmark methods", __doc__, add_arguments, act))
