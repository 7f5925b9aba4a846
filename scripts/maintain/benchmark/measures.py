"""What a measure costs: seconds of processor time a pair, and how many times its forward passes alone that is.

    python -m scripts.maintain.benchmark measures
    python -m scripts.maintain.benchmark measures --measure deletion road --pictures 8 model=vgg16

The forward passes alone are those of the measure, of one picture, in the same batches. Processor time of all threads,
so that a busy machine changes little.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from eval.files.markdown import markdown_table
from scripts.command import Command, command

if TYPE_CHECKING:
    import numpy as np

MEASURES = ["deletion", "insertion", "road", "gpnn_deletion", "average_drop", "adcc", "infidelity", "single_deletion"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--measure", nargs="+", default=MEASURES, metavar="NAME", help=f"default: {' '.join(MEASURES)}")
    parser.add_argument("--pictures", type=int, default=5, help="default: %(default)s")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="as for run.py")


def act(arguments: argparse.Namespace) -> None:
    import torch

    from eval.game.pointing import points_or_maps
    from eval.measures.map_measures import cases_of
    from eval.measures.network_outputs import outputs
    from eval.running.build import build_classifier, build_dataset, build_method
    from eval.running.config import load
    from eval.running.measuring import build_measures
    from eval.running.method_call import call, seed_for
    from eval.running.plan import plan
    from eval.running.settings import protocol_of

    cfg = load(["method=gradcam", *arguments.overrides, f"measure=[{','.join(arguments.measure)}]"])
    dataset = build_dataset(cfg)
    classifier = build_classifier(cfg, dataset.classes)
    method = build_method(cfg.method, classifier, dataset.classes)
    pixels = protocol_of(cfg).input.pixels
    cases = []
    for _, sample, pairs in plan(dataset).scorable(classifier.outputs).entries[: arguments.pictures + 1]:
        image, target, seed = pixels(sample.image).to(classifier.device), pairs[0].label, seed_for(0, sample.key)

        def again(picture: torch.Tensor, targets: list[int], seed: int) -> np.ndarray:
            return points_or_maps(call(method, picture, torch.tensor(targets), seed), len(targets))

        (case,) = cases_of(again(image, [target], seed), sample.size, [sample.region(target)])
        cases.append(replace(case, image=image, target=target, classifier=classifier, seed=seed, method=again))
    lines = [["measure", "forward passes", "s a pair", "of its forward passes"]]
    for name, measure in ((name, each.measure) for name, each in build_measures(cfg).items()):
        seconds, ratios, passes = [], [], 0
        for number, case in enumerate(cases):
            before = classifier.images_seen
            whole = processor_seconds(lambda case=case, measure=measure: measure.observe([case]))
            passes = classifier.images_seen - before
            pictures, batch = [case.image] * passes, getattr(measure, "batch", None)
            alone = processor_seconds(lambda p=pictures, b=batch: outputs(classifier, p, b))
            if number:  # the first one loads and compiles
                seconds.append(whole)
                ratios.append(whole / alone)
        lines.append([name, str(passes), f"{statistics.median(seconds):.2f}", f"{statistics.median(ratios):.2f}"])
        print(f"{name}: {lines[-1][2]} s a pair", file=sys.stderr, flush=True)
    print(markdown_table(lines))


def processor_seconds(act: Callable[[], object]) -> float:
    """Of all threads."""
    start = time.process_time()
    act()
    return time.process_time() - start


main = command(Command("scripts.maintain.benchmark measures", __doc__, add_arguments, act))
