"""What a variation of the GPNN generator computes and moves, and what one core of this machine could do it in.

    python -m scripts.maintain.benchmark roofline                    224 pixels, the plain distance
    python -m scripts.maintain.benchmark roofline --side 448

One JSON line a kernel: seconds of CPU per variation; its patches (queries of all levels and iterations); `floor`, the
seconds that its distances, lower bounds or additions take alone at this machine's rates; `of_floor`, their ratio. The
rates come first: `copy`, bytes read and written per second between arrays far beyond the caches; `products`, float32
multiply-adds per second of a matrix product; `distances`, whole distances of 7 x 7 patches per second, place by place.
A sweep's patch without a distance needs one distance, another one at least a probe beside it that ends after three of
seven rows. A query of an exact search needs one distance, and 12 multiply-adds for each key.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable
from time import process_time
from typing import TYPE_CHECKING, Any

from scripts.command import Command, command
from scripts.maintain.benchmark.pictures import pictures

if TYPE_CHECKING:
    import numpy as np

BOUND = 12  # block sums of a patch
PROBE = 3 / 7  # of a distance: what an early end costs


def best(call: Callable[[], object], repeat: int = 5) -> float:
    """The least seconds of CPU of a call, the first left out."""
    call()
    seconds = []
    for _ in range(repeat):
        start = process_time()
        call()
        seconds.append(process_time() - start)
    return min(seconds)


def rates() -> dict[str, float]:
    """What a core of this machine does per second."""
    import numpy as np
    import torch

    from gpnncam.patches import distance_full, kernel, to_rows

    @kernel
    def distances(a: np.ndarray, b: np.ndarray, count: int) -> int:
        total = 0
        for i in range(count):
            place = np.int64(i // 200 % 200) * a.shape[1] + 3 * (i % 200)
            total += distance_full(a, place, b, place + 3)
        return total

    rng = np.random.default_rng(0)
    pair = [to_rows(rng.integers(0, 256, (224, 224, 3))) for _ in range(2)]
    large, other = np.zeros(2**26, np.float32), np.ones(2**26, np.float32)
    matrix, count = torch.rand(1024, 1024), 10**6
    return {
        "copy": 2 * large.nbytes / best(lambda: np.copyto(large, other)),
        "products": 1024**3 / best(lambda: matrix @ matrix),
        "distances": count / best(lambda: distances(*pair, count)),
    }


def counted(side: int, n: int, plain: bool) -> dict[str, dict[str, float]]:
    """Per kernel the seconds, patches and lower bounds of a variation, and how many of its patches had no distance."""
    import numpy as np

    from gpnncam import averages, patchmatch, variations
    from gpnncam.cam import PLAIN

    how = PLAIN if plain else {}
    image = pictures(None, 1, side)[0][1]
    variations(image, 1, 0, threads=1, **how)
    found: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))

    def watched(name: str, kernel: Callable) -> Callable:
        def call(*given: Any, **more: Any) -> Any:
            start = process_time()
            answer = kernel(*given, **more)
            one = found[name]
            one["seconds"] += (process_time() - start) / n
            field = next(each for each in given if getattr(each, "dtype", None) == np.int32)
            one["patches"] += field.size / n
            if name == "sweep":
                one["zero"] += (given[4] == 0).sum() / n
            if name == "exact":
                one["bounds"] += field.size * (given[1].shape[0] - 6) * ((given[1].shape[1] - 8) // 3 - 6) / n
            return answer

        return call

    kernels = [(patchmatch, name) for name in ("sweep", "exact")]
    kernels += [(averages, name) for name in ("average", "average_again", "enlarge_field")]
    before = [getattr(module, name) for module, name in kernels]
    try:
        for (module, name), kernel in zip(kernels, before, strict=True):
            setattr(module, name, watched(name, kernel))
        start = process_time()
        variations(image, n, 0, threads=1, **how)
        found["all"]["seconds"] = (process_time() - start) / n
    finally:
        for (module, name), kernel in zip(kernels, before, strict=True):
            setattr(module, name, kernel)
    return found


def floors(found: dict[str, dict[str, float]], rate: dict[str, float]) -> dict[str, float]:
    """The least seconds of the kernels for which these rates say something."""
    sweep, exact = found["sweep"], found["exact"]
    return {
        "sweep": (sweep["patches"] + PROBE * (sweep["patches"] - sweep["zero"])) / rate["distances"],
        "exact": exact["bounds"] * BOUND / rate["products"] + exact["patches"] / rate["distances"],
    }


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--n", type=int, default=20, help="variations")
    parser.add_argument("--completeness", action="store_true", help="the default of gpnncam.variations, not GPNN-CAM's")


def act(arguments: argparse.Namespace) -> None:
    import torch

    torch.set_num_threads(1)
    rate = rates()
    print(json.dumps({"benchmark": "roofline", **{name: float(f"{value:.3g}") for name, value in rate.items()}}))
    found = counted(arguments.side, arguments.n, not arguments.completeness)
    least = floors(found, rate)
    for name, values in sorted(found.items(), key=lambda item: -item[1]["seconds"]):
        line = {"kernel": name, "side": arguments.side} | {key: float(f"{value:.4g}") for key, value in values.items()}
        if name in least:
            line |= {"floor": round(least[name], 5), "of_floor": round(values["seconds"] / least[name], 2)}
        print(json.dumps(line), flush=True)


main = command(Command("scripts.maintain.benchmark roofline", __doc__, add_arguments, act))
