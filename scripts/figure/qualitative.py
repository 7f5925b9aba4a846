"""The paper's qualitative figure: rows of pictures, columns of methods, boxes, the point, hit or miss.

    python -m scripts.figure qualitative                                             six pairs of the built-in pictures
    python -m scripts.figure qualitative --methods gradcam scorecam gpnncam --count 8 dataset=demo_diff model=vgg16
    python -m scripts.figure qualitative --pictures 000001:person 000004 dataset=pascal dataset.root=DIR

The options compose a config like run.py's; the maps are those of a run with the same seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    from eval.game.sample import Pair, Sample
    from eval.running.plan import Plan
    from eval.running.settings import protocol_of

METHODS = ["gradcam", "gradcampp", "relevancecam", "scorecam", "layercam", "gpnncam"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--methods", nargs="+", default=METHODS, metavar="NAME", help=f"default: {' '.join(METHODS)}")
    parser.add_argument("--pictures", nargs="+", metavar="KEY[:CLASS]", help="default: spread over the data set")
    parser.add_argument("--count", type=int, default=6, help="pairs, where none are named; default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("qualitative.png"), help="PNG to write; default: %(default)s")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="as for run.py")


def act(arguments: argparse.Namespace) -> None:
    from eval.running.build import build_classifier, build_dataset, build_method
    from eval.running.config import load
    from eval.running.plan import plan
    from eval.running.showcase import Shown, choose, showcase

    if arguments.count < 1:
        raise ValueError(f"--count must be at least 1, not {arguments.count}")
    configs = [load([f"method={name}", *arguments.overrides]) for name in arguments.methods]
    cfg = configs[0]
    dataset = build_dataset(cfg)
    classifier = build_classifier(cfg, dataset.classes)
    protocol = protocol_of(cfg)
    methods = {}
    for one in configs:
        built = build_method(one.method, None if one.method.blind else classifier, dataset.classes)
        methods[one.method.get("label") or one.method.name] = Shown.of(built, one.method, protocol)
    planned = plan(dataset).scorable(classifier.outputs)
    if arguments.pictures:
        pairs = named_pairs(planned, arguments.pictures, dataset.classes)
    else:
        pairs = choose(planned, arguments.count, cfg.limit)
    showcase(pairs, methods, classifier, protocol, dataset.classes, cfg.seed, arguments.out)
    print(arguments.out)


def named_pairs(planned: Plan, names: list[str], classes: Sequence[str]) -> list[tuple[Sample, Pair]]:
    """The pairs that KEY or KEY:CLASS name, in that order; KEY alone is the picture's first pair. ValueError else."""
    known = {sample.key: (sample, pairs) for _, sample, pairs in planned.entries}
    chosen = []
    for name in names:
        key, _, wanted = name.rpartition(":") if name not in known and ":" in name else (name, "", "")
        if key not in known:
            raise ValueError(f"the data set has no picture {key!r} with a pair to explain; one is {next(iter(known))}")
        sample, pairs = known[key]
        matching = [pair for pair in pairs if not wanted or classes[pair.label] == wanted]
        if not matching:
            there = ", ".join(classes[pair.label] for pair in pairs)
            raise ValueError(f"picture {key} does not ask about {wanted!r}; it does about {there}")
        chosen.append((sample, matching[0]))
    return chosen


main = command(Command("scripts.figure qualitative", __doc__, add_arguments, act))
