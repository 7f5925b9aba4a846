"""The layers of a network: names, what each returns, and which of them methods read.

    python -m scripts.layers model=resnet50
    python -m scripts.layers model=torchvision model.arch=swin_t model.pretrained=false --depth 3
    python -m scripts.layers model=custom model.build._target_=my_module.build --all

Settings are those of run.py. By default only layers whose output is feature maps, down to --depth dots in their names.
"""

from __future__ import annotations

import argparse
import sys

from scripts.command import Command, command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="+", metavar="NAME=VALUE", help="model=NAME and other settings of run.py")
    parser.add_argument("--depth", type=int, default=1, metavar="N", help="dots in a name; default: %(default)s")
    parser.add_argument("--all", action="store_true", help="also layers that return no maps, with the reason")


def act(arguments: argparse.Namespace) -> int:
    from eval.networks.stages import grid_of
    from eval.running.build import build_dataset, build_network
    from eval.running.config import load

    cfg = load(arguments.settings)
    needs_names = cfg.model.get("prompt") is not None
    classifier = build_network(cfg, build_dataset(cfg).classes if needs_names else None)
    for note in classifier.notes:
        print(note)
    used: dict[str, list[str]] = {}
    for use, names in classifier.layers.items():
        for name in names:
            used.setdefault(name, []).append(use)
    print(f"{'layer':<40} {'returns':<20} {'layout':<18} {'maps':<16} read by")
    for name, shape in classifier.observed().returned.items():
        if name.count(".") > arguments.depth and name not in used:
            continue
        grid = grid_of(classifier, name)
        if grid is None and not arguments.all:
            continue
        layout = "" if grid is None else str(classifier.layout(name))
        returns = shape if isinstance(shape, str) else " x ".join(map(str, shape))
        maps = "none" if grid is None else f"{grid[0]} x {grid[1]}"
        print(f"{name:<40} {returns:<20} {layout:<18} {maps:<16} {', '.join(used.get(name, ()))}".rstrip())
    return 0


main = command(Command("scripts.layers", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
