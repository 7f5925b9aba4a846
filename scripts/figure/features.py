"""The paper's feature figure: t-SNE of a layer's features at all positions, picture in blue, variations in red.

    python -m scripts.figure features                                 the first built-in picture, ResNet50's last layer
    python -m scripts.figure features --picture 000001 --n 50 model=vgg16 dataset=pascal dataset.root=DIR
    python -m scripts.figure features --source noise --out noise.png

Each dot is one position of one feature map. Where the red dots fill the space between the blue ones, the variations
interpolate between the picture's own features; where they form islands of their own, they left it. t-SNE keeps
neighbours, not distances: it shows overlap, and proves none. Below it, in numbers and before t-SNE: the share of the
variations' features whose nearest feature of the picture is as near as the picture's own are to each other.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    import numpy as np
    import torch

    from eval.networks.classifier import Classifier
    from eval.running.settings import protocol_of

# The paper's blue and red; squares and dots keep them apart without colour.
PICTURE, VARIATIONS = "#0072B2", "#D0021B"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--picture", metavar="KEY", help="default: the data set's first")
    parser.add_argument("--n", type=int, default=20, help="variations; default: %(default)s")
    parser.add_argument("--source", choices=["gpnn", "noise", "flip_crop"], default="gpnn")
    parser.add_argument("--sigma", type=float, default=3.0, help="strength of the generator's noise")
    parser.add_argument("--noise", choices=["rgb", "grey"], default="rgb")
    parser.add_argument("--layer", metavar="NAME", help="default: the deepest that GPNN-CAM reads")
    parser.add_argument("--out", type=Path, default=Path("features.png"), help="PNG to write; default: %(default)s")
    parser.add_argument("overrides", nargs="*", metavar="SETTING=VALUE", help="as for run.py")


def act(arguments: argparse.Namespace) -> None:
    from eval.running.build import build_classifier, build_dataset
    from eval.running.config import load
    from eval.running.method_call import seed_for
    from eval.running.plan import plan
    from gpnncam import sources

    if arguments.n < 1:
        raise ValueError(f"--n must be at least 1, not {arguments.n}")
    cfg = load(arguments.overrides)
    dataset = build_dataset(cfg)
    classifier = build_classifier(cfg, dataset.classes)
    known = {sample.key: sample for _, sample, _ in plan(dataset).entries}
    key = next(iter(known)) if arguments.picture is None else arguments.picture
    if key not in known:
        raise ValueError(f"the data set has no picture {key!r}; one is {next(iter(known))}")
    layer = arguments.layer or classifier.layers["gpnncam"][0]
    protocol = protocol_of(cfg)
    image = protocol.input.pixels(known[key].image).to(classifier.device)
    source = {
        "gpnn": lambda: sources.gpnn(sigma=arguments.sigma, noise=arguments.noise),
        "noise": sources.noise,
        "flip_crop": sources.flip_crop,
    }[arguments.source]()
    made = source(image, arguments.n, seed_for(cfg.seed, key)).pixels
    own, other = (at_positions(classifier, layer, pixels) for pixels in (image[None], made))
    near = share_near(own, other)
    title = f"{key}, {layer}: {arguments.n} variations ({arguments.source}); {near:.0%} as near as the picture's own"
    draw(own, other, image, made, title, cfg.seed, arguments.out)
    print(f"{arguments.out}: {near:.1%} of the variations' features lie as near as the picture's own to each other")


def at_positions(classifier: Classifier, layer: str, pixels: torch.Tensor, batch: int = 10) -> np.ndarray:
    """Features of pixels (N,3,H,W) at a layer, one row per picture and position: (N*h*w, C) float32."""
    import torch

    from gpnncam.features import features

    rows = []
    with features({layer: classifier.module(layer)}) as seen:
        for part in pixels.split(batch):
            seen.clear()
            classifier.network(classifier.normalise(part))
            seen.check()
            rows.append(seen.layers[layer].movedim(1, -1).flatten(0, 2).cpu())
    return torch.cat(rows).numpy()


def share_near(own: np.ndarray, other: np.ndarray) -> float:
    """Share of `other` (M,C) whose nearest row of `own` (n,C) is within the 95th percentile of own-to-own distances."""
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    nearest = NearestNeighbors(n_neighbors=1).fit(own)
    among = NearestNeighbors(n_neighbors=2).fit(own).kneighbors(own)[0][:, 1]
    return float((nearest.kneighbors(other)[0][:, 0] <= np.quantile(among, 0.95)).mean())


def draw(
    own: np.ndarray, other: np.ndarray, image: torch.Tensor, variations: torch.Tensor, title: str, seed: int, path: Path
) -> None:
    """t-SNE of both (after PCA's start, perplexity 30 or less) beside the picture and three of its variations."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.manifold import TSNE

    together = np.concatenate([own, other])
    tsne = TSNE(perplexity=min(30, (len(together) - 1) / 3), init="pca", random_state=seed)
    placed = tsne.fit_transform(together)
    figure = Figure(figsize=(9, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(4, 5)
    axis = figure.add_subplot(grid[:, :4])
    axis.scatter(*placed[len(own) :].T, s=13, c=VARIATIONS, alpha=0.75, linewidths=0, label="variations")
    own_dots = {"s": 30, "c": PICTURE, "marker": "s", "edgecolors": "white", "linewidths": 0.5}
    axis.scatter(*placed[: len(own)].T, label="picture", **own_dots)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.legend(loc="best")
    axis.set_title(title, fontsize=10)
    for place, shown in enumerate([image, *variations[:3]]):
        small = figure.add_subplot(grid[place, 4])
        small.imshow(shown.movedim(0, -1).cpu().numpy())
        small.set_xticks([])
        small.set_yticks([])
        for side in small.spines.values():
            side.set(color=VARIATIONS if place else PICTURE, linewidth=2.5)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


main = command(Command("scripts.figure features", __doc__, add_arguments, act))
