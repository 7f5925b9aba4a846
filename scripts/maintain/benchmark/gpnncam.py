"""Where GPNN-CAM's time goes, against the floor: the forward passes that any method of its kind must pay.

    python -m scripts.maintain.benchmark gpnncam                        full-size ResNet50 (random weights), N = 20
    python -m scripts.maintain.benchmark gpnncam --n 100 --groups 10    the authors' setting
    python -m scripts.maintain.benchmark gpnncam --network vgg16 --classes 3 --device cuda

One JSON line per network: seconds per picture by step (medians over the repetitions), `floor` = forward passes of the
picture and its N variations through the same network in the same batches without hooks or gradients, plus the head's
gradients, which no implementation can leave out; `ratio` = total / floor, `cpu_ratio` the same in seconds of CPU, for a
machine with other work to do; `memory_gb` = the process's highest resident memory less what it held before the first
call (on a card: the highest allocation). The floor is measured before and after each call; ratios are of such triples.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from scripts.command import Command, command
from scripts.maintain.benchmark.networks import NETWORKS, classifier
from scripts.maintain.benchmark.pictures import discs
from scripts.maintain.benchmark.process import device_name, memory_gb, resident_mb

if TYPE_CHECKING:
    import torch

    from eval.networks.classifier import Classifier
    from gpnncam.batch_size import Passes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=["resnet50"])
    parser.add_argument("--n", type=int, default=20, help="variations")
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--classes", type=int, default=1, help="classes explained in the one picture")
    parser.add_argument("--source", default="gpnn", choices=["gpnn", "noise", "flip_crop", "none"])
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--batch", type=int, default=0, help="pictures per forward pass; 0: by the largest activation")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch and the generator; default: torch's own choice")


def act(arguments: argparse.Namespace) -> None:
    import torch

    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for network in arguments.network:
        print(json.dumps(measure(arguments, network)), flush=True)


def measure(arguments: argparse.Namespace, network: str) -> dict:
    """The record of one network."""
    import torch

    from gpnncam.cam import GPNNCAM, STEPS

    built = classifier(network, arguments.device)
    device = built.device
    image = discs(arguments.side).to(device)
    targets = torch.arange(arguments.classes)
    batch = arguments.batch or None
    cam = GPNNCAM(built, n=arguments.n, groups=arguments.groups, source=arguments.source, batch=batch)
    before = resident_mb()
    calls, floors, steps = [], [], []
    for repetition in range(arguments.repeat + 1):
        torch.manual_seed(repetition)
        earlier = forward_passes(built, image, cam.n + 1, cam.passes)
        call = timed(lambda: cam(image, targets), device)
        later = forward_passes(built, image, cam.n + 1, cam.passes)
        if repetition:  # the first call compiles the generator's kernels
            calls.append(call)
            steps.append(dict(cam.seconds))
            head = cam.seconds["head gradient"]
            threads = call[1] / call[0]
            between = [(one + other) / 2 for one, other in zip(earlier, later, strict=True)]
            floors.append((between[0] + head, between[1] + threads * head))
    seconds = {step: round(statistics.median(s[step] for s in steps), 4) for step in STEPS}
    (total, cpu), (floor, _) = (map(statistics.median, zip(*each, strict=True)) for each in (calls, floors))
    ratio, cpu_ratio = (
        statistics.median(call[kind] / floor[kind] for call, floor in zip(calls, floors, strict=True))
        for kind in (0, 1)
    )
    return {
        "benchmark": "gpnncam",
        "network": network,
        "side": arguments.side,
        "n": arguments.n,
        "groups": arguments.groups,
        "classes": arguments.classes,
        "source": arguments.source,
        "batch": arguments.batch,
        "device": device_name(device),
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "total": round(total, 4),
        "cpu": round(cpu, 4),
        "floor": round(floor, 4),
        "ratio": round(ratio, 3),
        "cpu_ratio": round(cpu_ratio, 3),
        "memory_gb": round(memory_gb(device, before), 3),
    }


def timed(call: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds and seconds of CPU of a call."""
    import torch

    wall, cpu = perf_counter(), process_time()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return perf_counter() - wall, process_time() - cpu


def forward_passes(classifier: Classifier, image: torch.Tensor, n: int, passes: Passes) -> tuple[float, float]:
    """Seconds and seconds of CPU of n plain forward passes in the method's batches."""
    import torch

    with torch.no_grad():
        pixels = classifier.normalise(image).expand(n, -1, -1, -1).contiguous()

        def plain() -> None:
            for rows in passes.rows(pixels):
                classifier.network(pixels[rows])

        return timed(plain, image.device)


main = command(Command("scripts.maintain.benchmark gpnncam", __doc__, add_arguments, act))
