"""Which method runs on which network: one picture, random weights, and a reason wherever a method refuses.

    python -m scripts.maintain.compatibility --out results/tables/networks.md
    python -m scripts.maintain.compatibility --network swin_t vit_b_16 --method gradcam legrad

Inputs are small and masks few: the table says what runs, not what it costs or how good it is. Exit status 1 where a
cell fails with anything but a refusal in words. Networks of timm and open_clip need their extras.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from eval.files.markdown import markdown_table
from scripts.command import Command, command

if TYPE_CHECKING:
    from eval.networks.classifier import Classifier

RANDOM = ("model.pretrained=false", "model.class_map=null", "device=cpu")
# name: settings that build it; a small side where the network takes one.
NETWORKS: dict[str, tuple[str, ...]] = {
    **{
        name: ("model=torchvision", f"model.arch={name}", f"protocol.input.side={side}")
        for name, side in {
            "vgg16": 64, "vgg16_bn": 64, "resnet18": 64, "resnet50": 64, "densenet121": 64, "efficientnet_b0": 64,
            "mobilenet_v3_large": 64, "convnext_tiny": 64, "inception_v3": 299, "vit_b_16": 64, "swin_t": 64,
            "maxvit_t": 224,
        }.items()
    },
    "efficientnet_lite0": ("model=efficientnet_lite0", "protocol.input.side=64"),
    "deit_small": ("model=timm", "model.arch=deit_small_patch16_224", "protocol.input.side=64"),
    "dinov2_small": (
        "model=timm", "model.arch=vit_small_patch14_dinov2", "model.classes=1000", "protocol.input.side=56",
    ),
    "swin_tiny (timm)": ("model=timm", "model.arch=swin_tiny_patch4_window7_224"),
    "clip_ViT-B-32": ("model=openclip", "model.arch=ViT-B-32"),
}  # fmt: skip
SHORT = {
    "rise": ("method.build.masks=4",),
    "integrated_gradients": ("method.build.steps=2",),
    "occlusion": ("method.build.window=32", "method.build.stride=32"),
    "gpnncam": ("method.build.n=2",),
    "gpnncam_vote": ("method.build.n=2",),
    "gpnncam_authors": ("method.build.n=2", "method.build.groups=2"),
    "extremal_perturbation": ("method.build.max_iter=2",),
    "smoothgrad": ("method.build.n=2",),
    "cameras": ("method.build.sides=[64,96]", "method.build.grid=64"),
    "sess": ("method.build.scales=[299]",),
    "igos_pp": ("method.build.iterations=1", "method.build.steps=2"),
}
# ScoreCAM passes as many pictures as its layer has channels.
NARROW = {("scorecam", "inception_v3"): ("method.build.layers=[Conv2d_1a_3x3]",),
          ("scorecam", "maxvit_t"): ("method.build.layers=[stem.1]",),
          ("scorecam", "swin_tiny (timm)"): ("method.build.layers=[layers.0]",)}  # fmt: skip
WITHOUT = ("custom", "maps", "other_picture")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", nargs="+", metavar="NAME", help=f"default: {', '.join(NETWORKS)}")
    parser.add_argument("--method", nargs="+", metavar="NAME", help="default: all of conf/method")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the table as Markdown; default: print it")


def act(arguments: argparse.Namespace) -> int:
    from eval.files.places import CONF, near

    methods = sorted(path.stem for path in (CONF / "method").glob("*.yaml") if path.stem not in WITHOUT)
    for name in arguments.network or ():
        if name not in NETWORKS:
            raise ValueError(f"there is no network {name!r} here; near names: {near(name, NETWORKS)}")
    cells = {}
    for network in arguments.network or NETWORKS:
        cells |= column(network, arguments.method or methods)
    text = table(cells)
    if arguments.out:
        arguments.out.write_text(text, encoding="utf-8")
    print(text)
    faults = [f"{method} on {network}: {cell}" for (method, network), cell in cells.items() if cell.startswith("FAULT")]
    print(*faults, sep="\n", file=sys.stderr)
    return 1 if faults else 0


def column(network: str, methods: list[str]) -> dict[tuple[str, str], str]:
    """{(method, network): "runs", "refused: REASON" or "FAULT: ERROR"} of one network, which is built once."""
    from eval.running.build import build_classifier
    from eval.running.config import load

    names = [f"class {i}" for i in range(10 if NETWORKS[network][0] == "model=openclip" else 1000)]
    try:
        cfg = load([*RANDOM, *NETWORKS[network]])
        classifier = build_classifier(cfg, names)
    except (ImportError, ValueError) as error:
        return {(method, network): f"refused: {error}" for method in methods}
    print(f"{network}: {'; '.join(classifier.notes)}", file=sys.stderr)
    cells = {}
    for method in methods:
        cells[method, network] = cell(network, method, classifier, cfg.protocol.input.side)
        print(f"  {method}: {cells[method, network]}", file=sys.stderr, flush=True)
    return cells


def cell(network: str, method: str, classifier: Classifier, side: int) -> str:
    """What comes of one method for one picture and class."""
    import numpy as np
    import torch

    from eval.datasets.demo import Demo
    from eval.game.pointing import points_or_maps
    from eval.game.protocol import Input
    from eval.running.build import build_method
    from eval.running.config import load
    from eval.running.method_call import call

    sample = Demo(count=1)[0]
    cfg = load([f"method={method}", *SHORT.get(method, ()), *NARROW.get((method, network), ())]).method
    try:
        built = build_method(cfg, None if cfg.blind else classifier, classifier.classes)
        given = sample if cfg.blind else Input(side=side).pixels(sample.image)
        array = points_or_maps(call(built, given, torch.tensor([1]), 0), 1)
    except ValueError as error:
        return f"refused: {error}"
    except Exception as error:
        return f"FAULT: {type(error).__name__}: {error}"
    if not np.isfinite(array).all():
        return "FAULT: values that are not finite"
    return "runs" if array.ndim == 2 or float(np.ptp(array)) > 0 else "runs (constant map)"


def table(cells: dict[tuple[str, str], str]) -> str:
    """Markdown: methods x networks, and the reasons below."""
    methods = list(dict.fromkeys(method for method, _ in cells))
    networks = list(dict.fromkeys(network for _, network in cells))
    reasons: dict[str, int] = {}

    def short(text: str) -> str:
        kind, _, reason = text.partition(": ")
        if not reason:
            return text
        reason = re.sub(r"; layer '[^']*' of the network is a .*", "", reason)  # alike for all networks
        return f"{kind} [{reasons.setdefault(reason, len(reasons) + 1)}]"

    rows = [["method", *networks], *([method, *(short(cells[method, n]) for n in networks)] for method in methods)]
    lines = [
        "# Which method runs on which network",
        "",
        "One built-in picture, random weights (so no number here says anything about quality), made by",
        "`python -m scripts.maintain.compatibility`. Numbers in brackets: reasons, below. Inputs are small, grids as",
        "small as 2 x 2. A constant map of GPNN-CAM had no positive value, and its rectification made zeros of it.",
        "",
        markdown_table(rows, texts=range(len(networks) + 1)),
        "",
        *(f"{number}. {reason}" for reason, number in reasons.items()),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


main = command(Command("scripts.maintain.compatibility", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
