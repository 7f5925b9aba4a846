"""Layers by a rule, for networks whose settings name none: the last layer at each resolution of the trunk.

A convolutional network's trunk is the module whose children have the most resolutions. In a network of tokens, all of
one resolution, it is the first normalisation of a block: the last block's, since behind its attention no patch has a
gradient from a head that reads the class token (pytorch-grad-cam's documentation advises the same layer), and those a
third and two thirds of the depth before it.
"""

import torch
from torch import nn

from eval.networks.classifier import Classifier

FIRST_NORMS = ("norm1", "ln_1")
# A pool ends a stage: what it pooled has the stage's resolution.
POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.MaxPool2d, nn.AvgPool2d)
# How many stages a use reads, and how many deeper ones it leaves out.
USES = {"cam": (0, 1), "gpnncam": (0, 3), "relevance": (0, 1), "excitation": (1, 1), "refine": (0, 4)}
RULE = "the last layer at each resolution, deep to shallow"


def layers_by_rule(classifier: Classifier) -> dict[str, list[str]]:
    """{use: layers, deep to shallow} for every use in USES. ValueError where the rule finds no layer."""
    stages = _token_stages(classifier) or _stages(classifier)
    if not stages and any(isinstance(module, torch.jit.ScriptModule) for module in classifier.network.modules()):
        raise ValueError("the network is TorchScript, whose layers cannot be read: only methods that read none run")
    if not stages:
        raise ValueError(
            "no layer returns maps larger than 1 x 1 by the rule; name one: model.layers.cam=[NAME] "
            "(python -m scripts.layers model=... lists them)"
        )
    return {use: stages[skipped : skipped + count] or stages[-1:] for use, (skipped, count) in USES.items()}


def grid_of(classifier: Classifier, name: str) -> tuple[int, int] | None:
    """(h,w) of the maps that a layer returns for a square picture of the classifier's side; None: no maps."""
    shape = classifier.observed().returned.get(name)
    if not isinstance(shape, tuple):
        return None
    try:
        layout = classifier.layout(name)
    except ValueError:
        return None
    if layout.channels == "tokens":
        side = round((shape[1] - layout.prefix) ** 0.5)
        return side, side
    return (shape[1], shape[2]) if layout.channels == "last" else (shape[2], shape[3])


def _stages(classifier: Classifier) -> list[str]:
    children: dict[str, list[str]] = {}
    seen = classifier.observed()
    for name in (name for name in seen.returned if name not in seen.repeated):  # what runs twice is no one map
        children.setdefault(name.rpartition(".")[0], []).append(name)
    best: dict[tuple[int, int], str] = {}
    for parent in sorted(children, key=lambda name: (name.count(".") + bool(name), name)):
        last = {
            grid: name
            for name in children[parent]
            if not isinstance(classifier.module(name), POOLS)
            and (grid := grid_of(classifier, name)) is not None
            and min(grid) > 1
        }
        best = last if len(last) > len(best) else best
    return [best[grid] for grid in sorted(best, key=lambda grid: grid[0] * grid[1])]


def _token_stages(classifier: Classifier) -> list[str]:
    norms = [
        name
        for name in classifier.observed().returned
        if name.rpartition(".")[2] in FIRST_NORMS and (grid_of(classifier, name) or (1, 1)) > (1, 1)
    ]
    if not norms or any(classifier.layout(name).channels != "tokens" for name in norms):
        return []
    third = max(1, len(norms) // 3)
    return norms[::-1][::third][:3]
