"""What a measure costs: seconds of processor time a pair, and how many times its forward passes alone that is.

    python -m scripts.benchmark measures
    python -m scripts.benchmark measures --measure deletion road --pictures 8 model=vgg16

The forward passes alone are those of the measure, of one picture, in the same batches. Processor time of all threads,
so that a busy machine changes little.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from eval.game.pointing import points_or_maps
from eval.game.protocol import Protocol
from eval.measures.answers import outputs
from eval.measures.builtin import cases_of
from eval.running.build import build_classifier, build_dataset, build_method
from eval.running.calling import call, seed_for
from eval.running.config import load
from eval.running.identity import plain
from eval.running.measuring import build_measures
from eval.running.plan import plan

MEASURES = ["deletion", "insertion", "road", "gpnn_deletion", "average_drop", "idsds"]


def processor_seconds(act: Callable[[], object]) -> float:
    start = time.process_time()
    act()
    return time.process_time() - start


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.benchmark measures", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--measure", nargs="+", default=MEASURES, metavar="NAME", help=f"default: {' '.join(MEASURES)}")
    parser.add_argument("--pictures", type=int, default=5, help="default: %(default)s")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="as for run.py")
    arguments = parser.parse_intermixed_args(argv)
    cfg = load(["method=gradcam", *arguments.overrides, f"measure=[{','.join(arguments.measure)}]"])
    dataset = build_dataset(cfg)
    classifier = build_classifier(cfg, dataset.classes)
    method = build_method(cfg.method, classifier, dataset.classes)
    pixels = Protocol.from_settings(plain(cfg.protocol)).input.pixels
    cases = []
    for _, sample, pairs in plan(dataset).scorable(classifier.outputs).entries[: arguments.pictures + 1]:
        image, target, seed = pixels(sample.image).to(classifier.device), pairs[0].label, seed_for(0, sample.key)

        def again(picture: torch.Tensor, targets: list[int], seed: int):  # type: ignore[no-untyped-def]
            return points_or_maps(call(method, picture, torch.tensor(targets), seed), len(targets))

        (case,) = cases_of(again(image, [target], seed), sample.size, [sample.region(target)])
        cases.append(replace(case, image=image, target=target, classifier=classifier, seed=seed, method=again))
    print("| measure | forward passes | s a pair | of its forward passes |\n|---|--:|--:|--:|")
    for name, (measure, _) in build_measures(cfg).items():
        seconds, ratios, passes = [], [], 0
        for number, case in enumerate(cases):
            before = classifier.images_seen
            whole = processor_seconds(lambda case=case, measure=measure: measure.observe([case]))
            passes = classifier.images_seen - before
            pictures, batch = [case.image] * passes, getattr(measure, "batch", 16)
            alone = processor_seconds(lambda p=pictures, b=batch: outputs(classifier, p, b))
            if number:  # the first one loads and compiles
                seconds.append(whole)
                ratios.append(whole / alone)
        print(f"| {name} | {passes} | {statistics.median(seconds):.2f} | {statistics.median(ratios):.2f} |")
    return 0
