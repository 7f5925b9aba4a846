"""Where GPNN-CAM's time goes, against the floor: the forward passes that any method of its kind must pay.

    python -m scripts.benchmark gpnncam                        full-size ResNet50 (random weights), N = 20
    python -m scripts.benchmark gpnncam --n 100 --groups 10    the authors' setting
    python -m scripts.benchmark gpnncam --network vgg16 --classes 3 --device cuda

One JSON line per network: seconds per picture by step (medians over the repetitions), `floor` = N forward passes of
the same network in the same batches without hooks or gradients, `ratio` = total / floor, `memory_gb` = the process's
highest resident memory less what it held before the first call (on a card: the highest allocation).
"""

import argparse
import json
import resource
import statistics
import sys
from time import perf_counter

import numpy as np
import torch

from eval.networks.classifier import Classifier
from eval.networks.imagenet import untrained
from gpnncam.batches import Passes
from gpnncam.cam import GPNNCAM, STEPS

LAYERS = {
    "resnet50": ["layer4", "layer3", "layer2"],
    "vgg16": ["features.30", "features.23", "features.16"],
    "vgg16_bn": ["features.41", "features.31", "features.21"],
    "mobilenet_v2": ["features.18", "features.13", "features.6"],
}


def picture(side: int) -> torch.Tensor:
    """(3,side,side) smooth colours with sharp discs: structure on every scale, so that the generator has work."""
    generator = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    image = np.stack([0.5 + 0.3 * np.sin(6 * x + i) * np.cos(5 * y - i) for i in range(3)])
    for _ in range(25):
        cx, cy, radius = *generator.random(2), 0.02 + 0.1 * generator.random()
        image[:, (x - cx) ** 2 + (y - cy) ** 2 < radius**2] = generator.random((3, 1))
    noisy = image + 0.03 * generator.standard_normal(image.shape)
    return torch.from_numpy(np.clip(noisy, 0, 1)).float()


def resident_gb() -> float:
    """The process's highest resident memory so far."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def measure(arguments: argparse.Namespace, name: str) -> dict:
    """Run one network; the record that main prints."""
    device = torch.device(arguments.device)
    torch.manual_seed(0)
    network = untrained(name)
    classes = [str(i) for i in range(1000)]
    mean, std, layers = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], {"gpnncam": LAYERS[name]}
    classifier = Classifier(network, mean, std, layers, classes, device=device)
    image = picture(arguments.side).to(device)
    targets = torch.arange(arguments.classes)
    batch = arguments.batch or None
    cam = GPNNCAM(classifier, n=arguments.n, groups=arguments.groups, source=arguments.source, batch=batch)
    before = resident_gb()
    totals, steps, floors = [], [], []
    for repetition in range(arguments.repeat + 1):
        torch.manual_seed(repetition)
        start = perf_counter()
        cam(image, targets)
        total = perf_counter() - start
        floor = forward_passes(classifier, image, arguments.n, cam.passes)
        if repetition:  # the first call compiles the generator's kernels
            totals.append(total)
            steps.append(dict(cam.seconds))
            floors.append(floor)
    seconds = {step: round(statistics.median(s[step] for s in steps), 4) for step in STEPS}
    total, floor = statistics.median(totals), statistics.median(floors)
    on_card = device.type == "cuda"
    memory = torch.cuda.max_memory_allocated(device) / 1e9 if on_card else resident_gb() - before
    return {
        "benchmark": "gpnncam",
        "network": name,
        "side": arguments.side,
        "n": arguments.n,
        "groups": arguments.groups,
        "classes": arguments.classes,
        "source": arguments.source,
        "batch": arguments.batch,
        "device": torch.cuda.get_device_name(device) if on_card else "cpu",
        "threads": torch.get_num_threads(),
        "seconds": seconds,
        "total": round(total, 4),
        "floor": round(floor, 4),
        "ratio": round(total / floor, 3),
        "memory_gb": round(memory, 3),
    }


def forward_passes(classifier: Classifier, image: torch.Tensor, n: int, passes: Passes) -> float:
    """Seconds of n plain forward passes in the method's batches."""
    with torch.no_grad():
        pixels = classifier.normalise(image).expand(n, -1, -1, -1).contiguous()
        start = perf_counter()
        for rows in passes.rows(pixels):
            classifier.network(pixels[rows])
        if image.is_cuda:
            torch.cuda.synchronize(image.device)
        return perf_counter() - start


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark gpnncam", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--network", nargs="+", choices=list(LAYERS), default=["resnet50"])
    parser.add_argument("--n", type=int, default=20, help="variations")
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--classes", type=int, default=1, help="classes asked about in the one picture")
    parser.add_argument("--source", default="gpnn", choices=["gpnn", "noise", "flip_crop", "none"])
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--batch", type=int, default=0, help="pictures per forward pass; 0: by the largest activation")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, help="of torch and the generator; default: torch's own choice")
    arguments = parser.parse_args(argv)
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    for name in arguments.network:
        print(json.dumps(measure(arguments, name)), flush=True)
    return 0
