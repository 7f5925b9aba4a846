"""Mosaics for the grid pointing game: pictures of one class each, of which every network compared is sure.

A picture qualifies if it shows objects of a single class and every network has that class as its highest output, at a
softmax probability of at least the threshold. Mosaics are drawn from those, classes and pictures evenly.

  python -m scripts.maintain.make_grid --n 2 --count 100 --out grid.json                    built-in data, both networks
  python -m scripts.maintain.make_grid --n 3 --models resnet50 dataset=imagenet dataset.root=DIR --out grid.json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    from collections.abc import Sequence

THRESHOLD = 0.99  # the published one


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--n", type=int, default=2, help="cells a side; default: %(default)s")
    parser.add_argument("--count", type=int, default=100, help="mosaics; default: %(default)s (published: 500)")
    parser.add_argument("--side", type=int, default=224, help="pixels of a cell; default: %(default)s")
    parser.add_argument("--threshold", type=float, default=THRESHOLD, help="softmax; default: %(default)s")
    parser.add_argument("--models", nargs="+", default=["resnet50", "vgg16"], metavar="NAME", help="default: both")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("grid.json"), metavar="FILE", help="default: %(default)s")
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="as for run.py, for example dataset=...")


def act(arguments: argparse.Namespace) -> None:
    from eval.running.config import load

    builtin = not any(each.startswith("dataset=") for each in arguments.settings)
    settings = [*(["dataset.build.count=null"] if builtin else []), *arguments.settings]
    configs = [load([f"model={name}", *settings]) for name in arguments.models]
    names, classes = candidates(configs, arguments.threshold)
    mosaics = draw(names, arguments.n, arguments.count, arguments.seed)
    content = {name: getattr(arguments, name) for name in ("n", "side", "threshold", "models", "seed")}
    content |= {"dataset": configs[0].dataset.name, "candidates": len(names)}
    lines = ",\n  ".join(json.dumps(mosaic, ensure_ascii=False) for mosaic in mosaics)
    head = json.dumps(content, ensure_ascii=False)[:-1]
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(f'{head}, "mosaics": [\n  {lines}\n]}}\n', encoding="utf-8")
    print(f"{arguments.out}: {len(mosaics)} mosaics of {len(names)} pictures of {len(classes)} classes")


def candidates(configs: Sequence, threshold: float) -> tuple[list[tuple[str, str]], set[str]]:
    """([(key, class) of every picture that qualifies under all configs' networks], their classes)."""
    from eval.game.sample import pairs
    from eval.measures.network_outputs import outputs
    from eval.networks.probability import probabilities
    from eval.running.job import prepare_classifier, prepare_dataset
    from eval.running.settings import protocol_of

    dataset, planned = prepare_dataset(configs[0])
    single = [
        (sample, of_picture[0].label) for _, sample, _ in planned.entries
        if len(of_picture := list(pairs(sample))) == 1 and set(sample.labels.tolist()) == {of_picture[0].label}
    ]  # fmt: skip
    for cfg in configs:
        classifier = prepare_classifier(cfg, dataset.classes)
        pixels = protocol_of(cfg).input.pixels
        sure = []
        for sample, label in single:
            chosen = classifier.outputs[label]
            answer = outputs(classifier, [pixels(sample.image).to(classifier.device)], 1)
            scores = answer.flatten(2).logsumexp(2) if answer.dim() == 4 else answer
            first = int(scores[0].argmax())
            if first in chosen and float(probabilities(answer, chosen, "softmax")[0]) >= threshold:
                sure.append((sample, label))
        single = sure
        print(f"{cfg.model.name}: {len(single)} pictures left")
    cells = [(sample.key, dataset.classes[label]) for sample, label in single]
    return cells, {name for _, name in cells}


def draw(names: Sequence[tuple[str, str]], n: int, count: int, seed: int) -> list[list[list[str]]]:
    """`count` mosaics of n * n (key, class): each cell a class drawn evenly, of its pictures one that was used least.

    ValueError where there are fewer classes than cells.
    """
    import numpy as np

    by_class: dict[str, list[str]] = {}
    for key, name in names:
        by_class.setdefault(name, []).append(key)
    if n < 2 or count < 1:
        raise ValueError(f"n is {n} and count {count}; a mosaic has at least 2 x 2 cells, and there must be one")
    if len(by_class) < n * n:
        raise ValueError(f"only {len(by_class)} classes have a picture that qualifies; a mosaic needs {n * n}")
    generator = np.random.default_rng(seed)
    used = dict.fromkeys((key for key, _ in names), 0)
    mosaics, seen = [], set()
    for _ in range(100 * count):
        chosen = generator.permutation(sorted(by_class))[: n * n].tolist()
        keys = [min(generator.permutation(by_class[name]).tolist(), key=used.__getitem__) for name in chosen]
        if (content := tuple(sorted(keys))) in seen:
            continue
        seen.add(content)
        for key in keys:
            used[key] += 1
        mosaics.append([[key, name] for key, name in zip(keys, chosen, strict=True)])
        if len(mosaics) == count:
            return mosaics
    raise ValueError(f"{len(names)} pictures make only {len(mosaics)} different mosaics, not {count}")


main = command(Command("scripts.maintain.make_grid", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
