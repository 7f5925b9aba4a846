"""Lists the layers of a network, by name and in the order in which they run, with the shape that each returns.

  python -m scripts.layers                                        the built-in ResNet50
  python -m scripts.layers model=vgg16 dataset=pascal --depth 2
  python -m scripts.layers model=custom model.build._target_=mymodule.build
  python -m scripts.layers --model torchvision:convnext_tiny      without weights: shapes need none; timm:ARCH too
  python -m scripts.layers --model mymodule:build

These are the names that model.layers.cam, model.layers.gpnncam (deep to shallow), method.build.layers and
classifier.module(NAME) take. An arrow marks the layers of the config or, where it names none, of the rule. A layer that
GradCAM or GPNN-CAM read returns (channels, height, width).
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from eval.networks.classifier import Classifier


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="as for run.py, e.g. model=vgg16")
    parser.add_argument("--model", metavar="NAME", help="torchvision:ARCH, timm:ARCH, module:callable, or a model=NAME")
    parser.add_argument(
        "--depth", type=int, default=2, metavar="D", help="names of at most D parts, and marked ones; default: 2"
    )


def act(arguments: argparse.Namespace) -> None:
    from eval.running.config import load

    settings = list(arguments.settings)
    if arguments.model:
        from scripts.explain.network import settings_of

        settings = [*settings_of(arguments.model, None, None, None), *settings]
        if arguments.model.partition(":")[0] in ("torchvision", "timm"):
            settings.insert(2, "model.pretrained=false")
    cfg = load(settings)
    classifier = classifier_of(cfg)
    seen = classifier.reading.observed()
    if seen.error:
        print(f"the network's pass ended early: {seen.error}", file=sys.stderr)
    marked = {
        name: ", ".join(use for use, names in classifier.layers.items() if name in names) for name in seen.returned
    }
    width = max(map(len, marked), default=0)
    blocks = {name.rpartition(".")[0] for name, use in marked.items() if use}  # beside what is read
    for name, shape in seen.returned.items():
        if name.count(".") < arguments.depth or marked[name] or name in blocks:
            runs, kind = seen.runs[name], type(classifier.module(name)).__name__
            more = "".join([f"  runs {runs} times" if runs > 1 else "", f"  <- {marked[name]}" if marked[name] else ""])
            without_batch = shape if isinstance(shape, str) else tuple(shape[1:])
            print(f"{name:<{width}}  {kind:<22} {without_batch}{more}".rstrip())


def classifier_of(cfg: DictConfig) -> Classifier:
    """The network of the config about nothing, its layers those of the config or, where it names none, the rule's."""
    from omegaconf import OmegaConf, open_dict

    from eval.running.build import build_network
    from eval.running.settings import WANTED, network_settings, unset

    settings = network_settings(cfg)
    if OmegaConf.is_missing(settings.build, "_target_"):
        raise ValueError(f"model.build._target_ is not set: {WANTED['model.build._target_']}")
    with open_dict(settings):
        if unset(settings.layers):  # users run this script to find the names
            settings.layers = {}
        if settings.get("mean") is None:  # shapes need no normalisation
            settings.mean, settings.std = [0.5] * 3, [0.5] * 3
    classifier = build_network(cfg, None)
    for note in classifier.notes:
        if not classifier.layers:
            print(f"the rule takes no layers: {note}", file=sys.stderr)
    return classifier


main = command(Command("scripts.layers", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
