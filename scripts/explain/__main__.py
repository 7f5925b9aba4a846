"""Explains photographs: one figure of each with a heat map per method and class, its highest point and the score.

Without a photograph a built-in scene is explained by the built-in network: no file and no download is needed.

  python -m scripts.explain                                        the first built-in scene
  python -m scripts.explain photo.jpg --top 3                      what ImageNet's ResNet50 sees in it
  python -m scripts.explain a.jpg folder --out figures             several photographs, and those of a folder
  python -m scripts.explain photo.jpg --class tabby --method gradcam gpnncam layercam --json photo.json
  python -m scripts.explain photo.jpg --model torchvision:convnext_tiny
  python -m scripts.explain photo.jpg --model mymodule:build --mean .5 .5 .5 --std .5 .5 .5 --classes classes.txt
  python -m scripts.explain photo.jpg --model vgg16 model.checkpoint=weights.pth     weights that you have

A network that is not one of conf/model gets its layers by a rule (--layers names them, deep to shallow) and, where
torchvision or timm published it, that library's normalisation; of others --mean and --std say it. A method is a name in
conf/method or your own module:function.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command

METHODS = ["gradcam", "gpnncam"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "given", nargs="*", metavar="PHOTO", help="picture files and folders; NAME=VALUE settings of run.py"
    )
    parser.add_argument("--method", nargs="+", default=METHODS, metavar="NAME", help=f"default: {' '.join(METHODS)}")
    parser.add_argument(
        "--model", default="resnet50", metavar="NAME",
        help="a name in conf/model (default: %(default)s), torchvision:ARCH, timm:ARCH, or module:callable",
    )  # fmt: skip
    parser.add_argument("--class", nargs="+", dest="classes_asked", metavar="NAME", help="classes, by name or number")
    parser.add_argument("--top", type=int, default=1, metavar="K", help="the K classes with the highest scores; 1")
    parser.add_argument("--scene", type=int, default=0, metavar="N", help="which built-in scene, without PHOTO; 0")
    parser.add_argument("--layers", nargs="+", metavar="NAME", help="deep to shallow, where the rule's are not wanted")
    parser.add_argument("--mean", nargs="+", type=number, metavar="M", help="red, green, blue in [0,1]; or grey")
    parser.add_argument("--std", nargs="+", type=number, metavar="S")
    parser.add_argument("--classes", type=Path, metavar="FILE", help="names of the network's outputs: lines, or JSON")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="the figure, of several the folder; default: PHOTO-explained.png here"
    )
    parser.add_argument("--json", metavar="FILE", help="the numbers, maps included; - prints them")


def number(word: str) -> float | str:
    return word if "=" in word else float(word)


def act(arguments: argparse.Namespace) -> None:
    photos = [Path(word).expanduser() for word in arguments.given if "=" not in word]
    if photos and not any(photo.exists() for photo in photos):  # said before seconds of imports
        raise FileNotFoundError(f"there is no picture {photos[0]}")
    from scripts.explain.answer import explain_photograph

    explain_photograph(arguments)


main = command(Command("scripts.explain", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
