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
from collections.abc import Callable
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    import torch
    from omegaconf import DictConfig
    from torch import nn


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="*", metavar="NAME=VALUE", help="as for run.py, e.g. model=vgg16")
    parser.add_argument("--model", metavar="NAME", help="torchvision:ARCH, timm:ARCH, module:callable, or a model=NAME")
    parser.add_argument(
        "--depth", type=int, default=2, metavar="D", help="names of at most D parts, and marked ones; default: 2"
    )


def act(arguments: argparse.Namespace) -> None:
    import torch

    from eval.running.config import load

    settings = list(arguments.settings)
    if arguments.model:
        from scripts.explain.network import settings_of

        settings = [*settings_of(arguments.model, None, None, None), *settings]
        if arguments.model.partition(":")[0] in ("torchvision", "timm"):
            settings.insert(2, "model.pretrained=false")
    cfg = load(settings)
    side = cfg.protocol.input.side
    network, uses = network_of(cfg)
    listed = shapes(network, torch.zeros(1, 3, side, side))
    marked = {name: ", ".join(use for use, names in uses.items() if name in names) for name, *_ in listed}
    width = max(len(name) for name, *_ in listed)
    for name, kind, shape, runs in listed:
        if name.count(".") < arguments.depth or marked[name]:
            more = "".join([f"  runs {runs} times" if runs > 1 else "", f"  <- {marked[name]}" if marked[name] else ""])
            print(f"{name:<{width}}  {kind:<22} {shape}{more}".rstrip())


def network_of(cfg: DictConfig) -> tuple[nn.Module, dict[str, list[str]]]:
    """(network, its layers by use: those of the config, else the rule's)."""
    import torch
    from omegaconf import OmegaConf

    from eval.running.config import instantiate
    from eval.running.identity import network_settings
    from eval.running.settings import WANTED, unset

    settings = network_settings(cfg)
    if OmegaConf.is_missing(settings.build, "_target_"):
        raise ValueError(f"model.build._target_ is not set: {WANTED['model.build._target_']}")
    network = instantiate(settings.build)
    if not isinstance(network, torch.nn.Module):
        raise ValueError(f"{settings.build._target_} returns a {type(network).__name__}, no torch.nn.Module")
    # Users run this script to find the names, so a config without any is fine.
    named = {} if unset(settings.layers) else {use: settings.layers[use] for use in settings.layers}
    uses = {
        use: [names] if isinstance(names, str) else list(names) for use, names in named.items() if names is not None
    }
    return network.eval(), uses or by_rule(network, cfg)


def by_rule(network: nn.Module, cfg: DictConfig) -> dict[str, list[str]]:
    """The layers that the rule takes where nobody names any; none where it finds none."""
    from eval.networks.classifier import Classifier
    from eval.networks.stages import layers_by_rule
    from eval.running.identity import plain

    try:
        return layers_by_rule(
            Classifier(
                network, mean=[0, 0, 0], std=[1, 1, 1], layers={}, classes=(), outputs=[], device="cpu",
                side=cfg.protocol.input.side, layouts=plain(cfg.model.get("layouts")),
            )
        )  # fmt: skip
    except ValueError as error:
        print(f"the rule takes no layers: {error}", file=sys.stderr)
        return {}


def shapes(network: nn.Module, pixels: torch.Tensor) -> list[tuple[str, str, str, int]]:
    """(name, kind, shape without the batch, how often it runs) of every module, in the order in which they finish."""
    import torch

    lines: dict[str, tuple[str, str, str, int]] = {}

    def watch(name: str) -> Callable:
        def hook(module: nn.Module, _inputs: object, output: object) -> None:
            runs = lines.pop(name)[3] + 1 if name in lines else 1
            shape = str(tuple(output.shape[1:])) if isinstance(output, torch.Tensor) else type(output).__name__
            lines[name] = (name, type(module).__name__, shape, runs)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in network.named_modules() if name]
    try:
        with torch.no_grad():
            network(pixels)
    finally:
        for handle in handles:
            handle.remove()
    return list(lines.values())


main = command(Command("scripts.layers", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
