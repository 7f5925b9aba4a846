"""What a forward pass takes by how many pictures pass at once, with memory returned to the system and with it kept.

    python -m scripts.maintain.benchmark passes                         full-size networks, random weights, one thread
    python -m scripts.maintain.benchmark passes --network mobilenet_v2 --pictures 1 4 16

One JSON line a network and number of pictures, then a table: milliseconds of CPU per picture, the least of --repeat
rounds. `returned`: as the C library does it by itself; `kept`: as a run here does (`eval.networks.memory`). Every
network has a process of its own for each.
"""

from __future__ import annotations

import argparse
import json
import os
from time import process_time

from eval.files.markdown import markdown_table
from scripts.command import Command, command
from scripts.maintain.benchmark.networks import NETWORKS, classifier
from scripts.maintain.benchmark.process import alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", nargs="+", choices=list(NETWORKS), default=["resnet50", "mobilenet_v2", "vgg16"])
    parser.add_argument("--pictures", nargs="+", type=int, default=[1, 2, 4, 6, 8, 11, 22], metavar="N", help="at once")
    parser.add_argument("--side", type=int, default=224, help="pixels")
    parser.add_argument("--repeat", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=1, help="of torch; default: %(default)s")


def act(arguments: argparse.Namespace) -> None:
    rows = [["network", "memory", *map(str, arguments.pictures)]]
    for network in arguments.network:
        for kept in (False, True):
            record = alone(measure, network, kept, arguments)
            print(json.dumps(record), flush=True)
            rows.append([network, record["memory"], *(f"{record['ms'][n]:.1f}" for n in arguments.pictures)])
    print(markdown_table(rows))


def measure(network: str, kept: bool, arguments: argparse.Namespace) -> dict:
    """The record of one network: `ms`, {pictures at once: milliseconds of CPU a picture}."""
    import torch

    from eval.networks.memory import keep_memory

    if not kept:
        os.environ["MALLOC_"] = "the user's own"  # keep_memory leaves the allocator alone then
    torch.set_num_threads(arguments.threads)
    built = classifier(network, "cpu")
    if keep_memory() != kept:
        raise RuntimeError("this C library does not say how it keeps memory")
    taken = {}
    for count in arguments.pictures:
        pixels = torch.rand(count, 3, arguments.side, arguments.side, generator=torch.Generator().manual_seed(0))
        seconds = []
        with torch.no_grad():
            for _ in range(arguments.repeat + 1):
                start = process_time()
                built.network(built.normalise(pixels))
                seconds.append(process_time() - start)
        taken[count] = round(1000 * min(seconds[1:]) / count, 2)
    return {"benchmark": "passes", "network": network, "memory": "kept" if kept else "returned", "ms": taken}


main = command(Command("scripts.maintain.benchmark passes", __doc__, add_arguments, act))
