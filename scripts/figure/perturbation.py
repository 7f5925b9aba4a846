"""One pair's perturbation curve and the pictures along it: what the network saw while the class went, or came back.

    python -m scripts.figure perturbation                                            the built-in data, GPNN deletion
    python -m scripts.figure perturbation --measure road --picture test-000002:cat method=gpnncam
    python -m scripts.figure perturbation --measure insertion --count 8 dataset=pascal dataset.root=DIR model=vgg16

A curve of many steps shows `--count` of its pictures, evenly spaced. Probabilities are those that the measure observes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.command import Command, command

if TYPE_CHECKING:
    import numpy as np
    import torch

    from eval.measures.measure import Case
    from eval.running.settings import protocol_of

    Line = tuple[str, list[float], list[float], list[np.ndarray]]  # title, shares, probabilities, pictures (h,w,3)

MEASURES = ("deletion", "insertion", "road", "gpnn_deletion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--measure", choices=MEASURES, default="gpnn_deletion", help="default: %(default)s")
    parser.add_argument("--picture", metavar="KEY[:CLASS]", help="default: a difficult one")
    parser.add_argument("--count", type=int, default=6, help="pictures of a curve; default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("perturbation.png"), help="PNG to write; default: %(default)s")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="as for run.py")


def act(arguments: argparse.Namespace) -> None:
    import torch

    from eval.game.pointing import points_or_maps
    from eval.measures.map_measures import cases_of
    from eval.running.build import build_classifier, build_dataset, build_method
    from eval.running.config import load
    from eval.running.measuring import build_measures
    from eval.running.method_call import call, seed_for
    from eval.running.plan import plan
    from eval.running.showcase import choose
    from scripts.figure.qualitative import named_pairs

    if arguments.count < 2:
        raise ValueError(f"--count must be at least 2, the first picture and the last, not {arguments.count}")
    cfg = load(["method=gradcam", *arguments.overrides, f"measure={arguments.measure}"])
    if cfg.method.blind:
        raise ValueError(f"method={cfg.method.name} reads no pixels; a map of the network's input is needed")
    dataset = build_dataset(cfg)
    classifier = build_classifier(cfg, dataset.classes)
    method = build_method(cfg.method, classifier, dataset.classes)
    (measure,) = (each.measure for each in build_measures(cfg).values())
    planned = plan(dataset).scorable(classifier.outputs)
    names = [arguments.picture] if arguments.picture else None
    sample, pair = named_pairs(planned, names, dataset.classes)[0] if names else choose(planned, 1, cfg.limit)[0]
    image = protocol_of(cfg).input.pixels(sample.image).to(classifier.device)
    seed = seed_for(cfg.seed, sample.key)
    answer = points_or_maps(call(method, image, torch.tensor([pair.label]), seed), 1)
    (case,) = cases_of(answer, sample.size, [sample.region(pair.label)])
    case = replace(case, image=image, target=pair.label, classifier=classifier, seed=seed)
    title = f"{sample.key}: {dataset.classes[pair.label]}\n{cfg.method.get('label') or cfg.method.name}"
    lines = lines_of(arguments.measure, measure, case)
    heat = torch.nn.functional.interpolate(torch.from_numpy(answer)[None], image.shape[1:], mode="bilinear")[0, 0]
    draw(lines, heat.numpy(), _array(image), title, arguments.count, arguments.out)
    print(arguments.out)


def lines_of(name: str, measure: Any, case: Case) -> list[Line]:
    """The curves of one case with all their pictures. ValueError for a constant map."""
    import numpy as np

    from eval.measures.ranking import ranks

    places = ranks(case)
    if places is None:
        raise ValueError("the map is constant: it has no order in which pixels could be removed")
    (row,) = measure.observe([case])
    if name in ("deletion", "insertion"):
        pictures = [_array(each) for each in measure.path(case, places)]
        return [(name, np.minimum(np.arange(len(pictures)) * row["step"], 1).tolist(), row["curve"], pictures)]
    made = measure.pictures(case, places) if name == "road" else measure.filled(case, places)[1].pixels
    made = [_array(each) for each in made]
    count, shares, whole = len(row["shares"]), [0.0, *row["shares"]], _array(case.image)
    return [
        (f"{name}: {which} important first", shares, [row["whole"], *row[which]], [whole, *part])
        for which, part in (("most", made[:count]), ("least", made[count:]))
    ]


def _array(picture: torch.Tensor) -> np.ndarray:
    return picture.clamp(0, 1).permute(1, 2, 0).cpu().numpy()


def draw(lines: Sequence[Line], heat: np.ndarray, image: np.ndarray, title: str, count: int, path: Path) -> None:
    """Write a PNG: a row a curve, the map and the curve left, then at most `count` of its pictures."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = [np.unique(np.linspace(0, len(line[3]) - 1, count).round().astype(int)) for line in lines]
    columns = 2 + max(map(len, shown))
    figure = Figure(figsize=(2.0 * columns, 2.4 * len(lines) + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(lines), columns, squeeze=False)
    for row, (name, shares, values, pictures), chosen in zip(axes, lines, shown, strict=True):
        for axis in row:
            axis.set_axis_off()
        row[0].imshow(image)
        row[0].imshow(heat, cmap="inferno", alpha=0.5)
        row[0].set_title(title, fontsize=8)
        row[1].set_axis_on()
        row[1].plot(shares, values, ".-", markersize=3, linewidth=1)
        row[1].set_ylim(-0.03, 1.03)
        row[1].tick_params(labelsize=6)
        row[1].set_title(name, fontsize=8)
        for axis, at in zip(row[2:], chosen, strict=False):
            axis.imshow(pictures[at])
            axis.set_title(f"{shares[at]:.0%}: p = {values[at]:.3f}", fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)


main = command(Command("scripts.figure perturbation", __doc__, add_arguments, act))
