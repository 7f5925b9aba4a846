"""Trains the built-in data's classifiers and writes eval/networks/demo_vgg16.safetensors and demo_resnet50.safetensors.

    python -m scripts.maintain.train_demo                       # both, about 45 minutes, a network a core each
    python -m scripts.maintain.train_demo --network resnet50 --device cuda

As the paper's networks are trained on single objects (ImageNet) and then tuned to scenes (VOC, COCO), so are these:
first on crops with one object each (cross entropy), then on windows of the scenes and at last on whole scenes, with a
label per class (binary cross entropy). A label says what a crop, a window or a scene shows, never where in it.
The pictures are rendered once into --cache. After every stage the state is kept there, and a second call goes on
behind the last finished stage. Weights are written after each stage on whole pictures, with their measured mean
average precision on the test split, seed, command and versions in the metadata.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from eval.files.places import ROOT
from scripts.command import Command, command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--network", choices=("vgg16", "resnet50", "both"), default="both")
    parser.add_argument("--device", help="default: the GPU if there is one")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the order; the pictures keep theirs")
    parser.add_argument("--pictures", type=int, default=None, help="training pictures, default: all of the split")
    parser.add_argument("--effort", type=float, default=1.0, help="multiplies every stage's epochs")
    parser.add_argument("--cache", type=Path, default=Path("results/cache"), help="rendered pictures and states")
    parser.add_argument("--out", type=Path, default=ROOT / "eval" / "networks", help="where the weights go")


def act(arguments: argparse.Namespace) -> None:
    import torch

    from scripts.maintain.train_demo.training import train_all

    arguments.device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    train_all(arguments)


main = command(Command("scripts.maintain.train_demo", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
