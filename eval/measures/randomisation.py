"""Parameter randomisation (Adebayo et al., Sanity Checks for Saliency Maps, NeurIPS 2018): does a map change when the
network forgets what it learned? A test that a method passes or fails, never a ranking."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from eval.game.pointing import upscale
from eval.game.protocol import Protocol as Rules
from eval.measures.measure import Case, Curve, Score, lines
from eval.measures.network_outputs import plain
from eval.measures.similarity import outlines, pearson, ssim
from eval.networks.classifier import Classifier

ORDERS = ("cascading", "single")
THRESHOLD = 0.7
"""A method passes where `randomisation` is below this. The publication judges by eye: the gradient passes, guided
backprop fails. On the built-in ResNet50 they are at 0.51 [0.48, 0.55] and 0.86 [0.84, 0.88]: it lies between."""


def blocks_of(network: nn.Module) -> list[str]:
    """Names of the network's blocks, input first: its children with parameters. A child that holds more than half of
    all layers (`features`, or the network that a wrapper wraps) counts by its own children."""
    whole = _layers(network)
    names = []
    for name, child in network.named_children():
        if 2 * _layers(child) > whole and any(True for _ in child.children()):
            names += [f"{name}.{inner}" for inner in blocks_of(child)]
        elif _layers(child):
            names.append(name)
    return names


def _layers(module: nn.Module) -> int:
    return sum(any(True for _ in each.parameters(recurse=False)) for each in module.modules())


def loose_of(network: nn.Module) -> list[str]:
    """Names of the parameters that belong to no block: a transformer's class token and table of positions, which stand
    at its input."""
    blocks = tuple(f"{name}." for name in blocks_of(network))
    return [name for name, _ in network.named_parameters() if not name.startswith(blocks)]


def stages_of(network: nn.Module, most: int) -> list[list[str]]:
    """The blocks in at most `most` groups of neighbours, output first: those that each stage redraws."""
    blocks = blocks_of(network)[::-1]
    count = min(most, len(blocks))
    return [blocks[i * len(blocks) // count : (i + 1) * len(blocks) // count] for i in range(count)]


def redrawn(network: nn.Module, block: str, generator: torch.Generator, deviation: float) -> dict[str, Tensor]:
    """New values of a block's parameters and buffers by name, the network left as it is.

    Weights: a normal distribution of that deviation, cut at twice it. Biases: 0. Normalisations: as at the start of
    training (weight 1, bias 0, mean 0, variance 1).
    """
    made: dict[str, Tensor] = {}
    for name, module in network.get_submodule(block).named_modules(prefix=block):
        entries = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        normalises = "Norm" in type(module).__name__
        for own, value in entries:
            fresh = torch.zeros_like(value)
            if not value.is_floating_point():
                fresh = value.clone() if not normalises else fresh
            elif normalises and own in ("weight", "running_var"):
                fresh.fill_(1)
            elif isinstance(value, nn.Parameter) and own != "bias" and not normalises:
                fresh = _drawn(value, generator, deviation)
            elif not isinstance(value, nn.Parameter) and not normalises:
                fresh = value.clone()  # a table of positions, a constant: nothing that was learned
            made[f"{name}.{own}" if name else own] = fresh
    return made


def _drawn(value: Tensor, generator: torch.Generator, deviation: float) -> Tensor:
    draw = torch.empty(value.shape)
    nn.init.trunc_normal_(draw, 0, deviation, -2 * deviation, 2 * deviation, generator=generator)
    return draw.to(value)


@contextmanager
def swapped(network: nn.Module, values: dict[str, Tensor]) -> Iterator[None]:
    """In the block the named parameters and buffers hold other values; afterwards the same memory as before."""
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    before = {name: tensors[name].data for name in values}
    try:
        # The memory is exchanged, not written to: a check of the weights finds them unchanged afterwards.
        for name, value in values.items():
            tensors[name].data = value
        yield
    finally:
        for name, value in before.items():
            tensors[name].data = value


def _zeroed(similar: np.ndarray) -> np.ndarray:
    """(n,m): 0 where a row has no similarity but others beside it: a map that has become constant has nothing in common
    with the one before."""
    return np.where(np.isnan(similar) & ~np.isnan(similar).all(1, keepdims=True), 0.0, similar)


def _upper(field: str, absolute: bool = False) -> Callable[[pd.DataFrame, Rules], np.ndarray]:
    def value(rows: pd.DataFrame, _rules: Rules) -> np.ndarray:
        if field not in rows:
            return np.full(len(rows), np.nan)
        similar = lines(rows, field)[:, 1:]
        if not similar.shape[1]:  # no row has a list
            return np.full(len(rows), np.nan)
        similar = _zeroed(similar[:, : -(-similar.shape[1] // 2)])
        return (np.abs(similar) if absolute else similar).mean(1)

    return value


def _stages(field: str, absolute: bool = False) -> Callable[[pd.DataFrame], tuple[np.ndarray, np.ndarray]]:
    def points(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        values = _zeroed(lines(rows, field))
        return np.linspace(0, 1, values.shape[1]), np.abs(values) if absolute else values

    return points


def _score(name: str, field: str, what: str, absolute: bool = False) -> Score:
    return Score(
        name, f"{what} of the map with those of the network whose upper layers are redrawn", "similarity", True,
        _upper(field, absolute), ranked=False, curve=Curve("share of stages redrawn", _stages(field, absolute)),
        passes_below=THRESHOLD if absolute else None,
    )  # fmt: skip


class Randomisation:
    """Similarity of the map with that of the network whose layers are redrawn stage by stage, on the network's input.

    stages: what each stage redraws, the first nothing ("": the control, similarity 1). spearman, ssim, hog: by stage;
    None within a list where one of the two maps is constant, or too small. Redrawn once for a network, from `seed`.

    Scores are means over the upper half of the stages: what is known to fail does not see the upper layers, while the
    lower ones change every map. The absolute rank correlation is judged by THRESHOLD.

    order: "cascading" redraws from the output down; "single" one stage at a time. blocks: names of modules, output
    first, a stage each; None: `stages_of`, at most `most` of them. Needs a method that reads the network.
    """

    name = "randomisation"
    version = 2
    fields = ("stages", "spearman", "ssim", "hog")
    scores = (
        _score("randomisation", "spearman", "mean absolute rank correlation", absolute=True),
        _score("randomisation_signed", "spearman", "rank correlation"),
        _score("randomisation_ssim", "ssim", "structural similarity"),
        _score("randomisation_hog", "hog", "correlation of the histograms of oriented gradients"),
    )

    def __init__(
        self,
        order: str = "cascading",
        blocks: Sequence[str] | None = None,
        most: int = 6,
        deviation: float = 0.01,
        seed: int = 0,
    ):
        if order not in ORDERS:
            raise ValueError(f"order is {order!r}; known are {', '.join(ORDERS)}")
        if most < 1 or not deviation > 0:
            raise ValueError(f"most is {most} and deviation {deviation}; there must be a stage, and something drawn")
        self.order, self.blocks, self.most, self.deviation, self.seed = order, blocks, most, deviation, seed
        self._drawn: tuple[Classifier, list[tuple[str, dict[str, Tensor]]]] | None = None

    def observe(self, cases: Sequence[Case]) -> list[dict]:
        """`fields` of each case."""
        method, classifier = cases[0].method, cases[0].classifier
        if method is None or cases[0].grid is None:
            return [dict.fromkeys(self.fields) for _ in cases]
        targets, image, seed = [case.target for case in cases], cases[0].image, cases[0].seed
        given = cases[0].given
        stages = self._stages(classifier)
        maps = [self._maps(method(given, targets, seed), image)]
        values: dict[str, Tensor] = {}
        for _, drawn in stages:
            values = values | drawn if self.order == "cascading" else drawn
            with swapped(classifier.network, values):
                maps.append(self._maps(method(given, targets, seed), image))
        ranked = [[rankdata(each) for each in after] for after in maps]
        names = ["", *(name for name, _ in stages)]
        return [
            {
                "stages": names,
                "spearman": self._curve(pearson, ranked, number),
                "ssim": self._curve(ssim, maps, number),
                "hog": self._curve(outlines, maps, number),
            }
            for number in range(len(cases))
        ]

    @staticmethod
    def _maps(answer: np.ndarray, image: Tensor) -> list[np.ndarray]:
        height, width = image.shape[-2:]
        return [upscale(each, (width, height)).levels for each in answer]

    @staticmethod
    def _curve(how: Callable, maps: list[list[np.ndarray]], number: int) -> list[float | None]:
        values = [how(maps[0][number], after[number]) for after in maps]
        return [None if each is None else plain(torch.tensor([each], dtype=torch.float64))[0] for each in values]

    def _stages(self, classifier: Classifier) -> list[tuple[str, dict[str, Tensor]]]:
        """(name, new values) of each stage; drawn once for a network."""
        if self._drawn is None or self._drawn[0] is not classifier:
            for name in self.blocks or ():
                classifier.module(name)
            stages = [[name] for name in self.blocks] if self.blocks else stages_of(classifier.network, self.most)
            if not stages:
                raise ValueError("the network has no layers that could be redrawn")
            generator = torch.Generator().manual_seed(self.seed)
            drawn = []
            for stage in stages:
                values: dict[str, Tensor] = {}
                for block in stage:
                    values |= redrawn(classifier.network, block, generator, self.deviation)
                drawn.append((" ".join(stage), values))
            if not self.blocks:  # they stand at the input, so the last stage draws them
                tensors = dict(classifier.network.named_parameters())
                for name in loose_of(classifier.network):
                    drawn[-1][1][name] = _drawn(tensors[name], generator, self.deviation)
            self._drawn = classifier, drawn
        return self._drawn[1]
