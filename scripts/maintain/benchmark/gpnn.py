"""Seconds per variation of the GPNN generator, with an exact search as the yardstick; --quality: how good they are.

    python -m scripts.maintain.benchmark gpnn            speed: sizes, threads, first call, cache, matrix-product search
    python -m scripts.maintain.benchmark gpnn --fill             a masked fill beside a variation of the same picture
    python -m scripts.maintain.benchmark gpnn --quality          fast against exact search on equal seeds
    python -m scripts.maintain.benchmark gpnn --quality --pictures FOLDER --count 10 --side 96

One JSON line per case. Every speed case runs in a process of its own. `seconds` is the wall clock per variation, the
picture's preparation included, the fastest of the repetitions and their median; `cpu` the processor time of all threads
per variation; `memory_mb` the highest resident memory less what was resident after the imports and the first call;
`cache_kb` what a variation takes in the cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from scripts.command import Command, command
from scripts.maintain.benchmark.pictures import pictures
from scripts.maintain.benchmark.process import alone, resident_mb

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

REMOVED = (("blobs", 0.2), ("blobs", 0.4), ("blobs", 0.8), ("columns", 0.4), ("scattered", 0.4))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quality", action="store_true")
    parser.add_argument("--fill", action="store_true")
    parser.add_argument("--side", type=int, nargs="+", help="pixels; default: 112 224 448 for speed, 96 for --quality")
    parser.add_argument("--n", type=int, help="variations of a picture; default: 20 for speed, 8 for --quality")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-exact", action="store_true", help="leave the exact yardsticks out (a minute)")
    parser.add_argument("--pictures", type=Path, help="--quality: a folder of pictures instead of the built-in ones")
    parser.add_argument("--count", type=int, default=5, help="--quality: how many pictures, evenly spread")
    for name, kind in (("sigma", float), ("noise", str), ("alpha", float), ("alpha-unit", str), ("alpha-side", int)):
        parser.add_argument(f"--{name}", type=kind, help="--quality: as in gpnncam.variations")
    parser.add_argument("--plain", action="store_true", help="--quality: by plain distance, as in GPNN-CAM")
    parser.add_argument("--iterations", type=int, nargs=3, help="--quality: as in gpnncam.variations")


def act(arguments: argparse.Namespace) -> None:
    for case in quality_cases(arguments) if arguments.quality else fill_or_speed_cases(arguments):
        print(json.dumps(case), flush=True)


def quality_cases(arguments: argparse.Namespace) -> Iterator[dict]:
    """The records of `scripts.maintain.benchmark.quality`."""
    from gpnncam.cam import PLAIN
    from scripts.maintain.benchmark.quality import quality

    names = ("sigma", "noise", "alpha", "alpha_unit", "alpha_side", "iterations")
    settings = {k: getattr(arguments, k) for k in names if getattr(arguments, k) is not None}
    for side in arguments.side or [96]:
        chosen = pictures(arguments.pictures, arguments.count, side)
        yield from quality(chosen, arguments.n or 8, (PLAIN if arguments.plain else {}) | settings)


def fill_or_speed_cases(arguments: argparse.Namespace) -> Iterator[dict]:
    """The records of --fill, or those of the default."""
    import torch

    arguments.n = arguments.n or 20
    arguments.threads = arguments.threads or torch.get_num_threads()
    if not arguments.fill:
        yield from speed_cases(arguments)
        return
    for side in arguments.side or [224]:
        for shape, share in REMOVED:
            yield fill_beside_variation(side, arguments.n, arguments.threads, arguments.repeat, shape, share)


def speed_cases(arguments: argparse.Namespace) -> Iterator[dict]:
    """A record a case, each measured in a process of its own."""
    import torch

    threads = arguments.threads
    with tempfile.TemporaryDirectory() as folder:
        before = os.environ.get("NUMBA_CACHE_DIR")
        os.environ["NUMBA_CACHE_DIR"] = folder  # read when numba is imported: the new process inherits it
        try:
            cases = [alone(first_call, 224, False), alone(first_call, 224, True)]
        finally:
            os.environ.pop("NUMBA_CACHE_DIR")
            if before is not None:
                os.environ["NUMBA_CACHE_DIR"] = before
    yield from cases
    for side in arguments.side or [112, 224, 448]:
        yield alone(speed, side, arguments.n, threads, arguments.repeat)
    side = 224 if not arguments.side else arguments.side[-1]
    if threads > 1:
        yield alone(speed, side, arguments.n, 1, arguments.repeat)
    yield alone(speed, side, arguments.n, threads, arguments.repeat, "cpu", False, False)
    yield alone(speed, side, arguments.n, threads, arguments.repeat, "cpu", True)
    if torch.cuda.is_available():
        yield alone(speed, side, 100, threads, arguments.repeat, "cuda")
    if not arguments.no_exact:
        yield alone(yardstick, side, "early exit")
        yield alone(yardstick, side, "matrix product")


def speed(
    side: int, n: int, threads: int, repeat: int, device: str = "cpu", cache: bool = False, plain: bool = True
) -> dict:
    """Repeated calls on one built-in picture of side x side pixels; plain: by plain distance, as in GPNN-CAM."""
    import torch

    from gpnncam import variations
    from gpnncam.cache import Cache
    from gpnncam.cam import PLAIN

    how = PLAIN if plain else {}
    image = pictures(None, 1, side)[0][1].to(device)
    small = image[:, :48, :48]
    variations(small, 1, 0, **how)  # loads the compiled code
    before = resident_mb()
    walls, cpus = [], []
    with tempfile.TemporaryDirectory() as folder:
        for repetition in range(repeat):
            if cache:
                variations(image, n, repetition, threads=threads, cache=folder, **how)
            wall, cpu = perf_counter(), process_time()
            variations(image, n, repetition, threads=threads, cache=folder if cache else None, **how)
            if image.is_cuda:
                torch.cuda.synchronize()
            walls.append((perf_counter() - wall) / n)
            cpus.append((process_time() - cpu) / n)
        size = {"cache_kb": round(Cache(folder).size() / n / repeat / 1000, 1)} if cache else {}
    name = "cached" if cache else "variations" if plain else "variations, completeness"
    case = {"case": name, "side": side, "n": n, "threads": threads, "device": device}
    case |= {"seconds": round(min(walls), 4), "median": round(statistics.median(walls), 4), "cpu": round(min(cpus), 4)}
    return case | {"memory_mb": round(resident_mb() - before)} | size


def fill_beside_variation(side: int, n: int, threads: int, repeat: int, shape: str, share: float) -> dict:
    """Seconds of one of n fills, a share of the picture removed, over those of one of n variations, in one process."""
    import torch

    from gpnncam import fill, variations
    from gpnncam.cam import PLAIN

    image = pictures(None, 1, side)[0][1]
    masks = torch.stack([removed(side, shape, share, seed) for seed in range(n)])
    calls = {
        "variation": lambda seed: variations(image, n, seed, threads=threads, **PLAIN),
        "fill": lambda seed: fill(image, masks, seed, threads=threads),
        "single fill": lambda seed: fill(image, masks[0], seed, threads=threads),
    }
    seconds = {name: [] for name in calls}
    for repetition in range(repeat + 1):
        for name, call in calls.items():
            start = perf_counter()
            call(repetition)
            if repetition:  # the first call loads the compiled code
                seconds[name].append((perf_counter() - start) / (1 if name == "single fill" else n))
    best = {name: min(times) for name, times in seconds.items()}
    ratios = {f"ratio, {name}": round(best[name] / best["variation"], 2) for name in ("fill", "single fill")}
    case = {"case": "fill", "side": side, "n": n, "threads": threads, "removed": share, "shape": shape}
    return case | {name: round(value, 4) for name, value in best.items()} | ratios


def removed(side: int, shape: str, share: float, seed: int) -> torch.Tensor:
    """(side, side) bool: a share of the pixels as smooth blobs, single scattered pixels, or whole columns."""
    import torch

    if shape == "columns":
        return (torch.arange(side) < share * side).expand(side, side)
    cells = 7 if shape == "blobs" else side
    noise = torch.randn(1, 1, cells, cells, generator=torch.Generator().manual_seed(seed))
    field = torch.nn.functional.interpolate(noise, (side, side), mode="bicubic")[0, 0]
    return field < field.flatten().kthvalue(round(share * side * side)).values


def first_call(side: int, compiled: bool) -> dict:
    """The first call of a process, after the imports; `compiled`: whether it finds compiled code on disk."""
    from gpnncam import variations

    image = pictures(None, 1, side)[0][1]
    start, cpu = perf_counter(), process_time()
    variations(image, 1, 0)
    kind = "first call, compiled code on disk" if compiled else "first call, nothing compiled yet"
    seconds, cpu = perf_counter() - start, process_time() - cpu
    return {"case": kind, "side": side, "total_seconds": round(seconds, 2), "total_cpu": round(cpu, 2)}


def yardstick(side: int, engine: str) -> dict:
    """One variation with an exact search at every level."""
    import torch

    from gpnncam import batched, compiled
    from gpnncam.levels import Settings, prepare

    pixels = (pictures(None, 1, side)[0][1] * 255).round().byte().permute(1, 2, 0).numpy()
    settings = Settings(search="exact")
    compiled.vary(prepare(pixels[:40, :40], settings), [0], settings, 1)
    start, cpu = perf_counter(), process_time()
    levels = prepare(pixels, settings)
    if engine == "matrix product":
        batched.vary(levels, [0], settings, torch.device("cpu"))
    else:
        compiled.vary(levels, [0], settings, 1)
    seconds = {"seconds": round(perf_counter() - start, 3), "cpu": round(process_time() - cpu, 3)}
    return {"case": f"exact, {engine}", "side": side, "n": 1, "threads": torch.get_num_threads(), **seconds}


main = command(Command("scripts.maintain.benchmark gpnn", __doc__, add_arguments, act))
