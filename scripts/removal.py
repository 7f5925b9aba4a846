"""Which removal takes an object out of a picture? A ground truth for measures that remove pixels, which no map enters.

    python -m scripts.removal dataset=coco dataset.root=DIR model=efficientnet_lite0 model.class_map=imagenet
    python -m scripts.removal dataset=pascal dataset.root=DIR model=resnet50 --top-k 5 --pairs removal.csv

Takes the settings of run.py. Of each (picture, class) that the network sees, its region is removed: the class should
be gone (kept: the share where it still is among the network's top k). And as many pixels of the same shape are removed
from the background alone: the class should be there still (lost). `wrong` is the mean of the two. Each fill stands for
what a measure does with removed pixels: mean (deletion), blur (insertion), road and gpnn. Intervals are 95 %, resampled
over pictures. What a class keeps without its object can also be its context: compare fills, not one with nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scripts.command import Command, command

if TYPE_CHECKING:  # --help needs none of them
    import numpy as np
    import pandas as pd
    from torch import Tensor

FILLS = ("mean", "blur", "road", "gpnn")
LARGEST = 0.5  # share of the input: a larger object has no background of its own size


def filled(fill: str, image: Tensor, mask: np.ndarray, classifier: Any, seed: int) -> Tensor:
    """The picture (3,h,w) with the pixels of mask (h,w) bool removed."""
    import numpy as np
    import torch

    from eval.measures.perturbation import blurred, mean_colour
    from eval.measures.road import linear_imputation
    from gpnncam import fill as generate

    where = torch.from_numpy(mask).to(image.device)
    if fill == "gpnn":
        return generate(image, where, seed).pixels
    if fill in ("mean", "blur"):
        return torch.where(where, {"mean": mean_colour, "blur": blurred}[fill](image, classifier), image)
    pixels = linear_imputation(image.permute(1, 2, 0).double().cpu().numpy(), mask)
    pixels += 0.01 * np.random.default_rng(seed).standard_normal(pixels.shape) * mask[..., None]
    return torch.from_numpy(pixels).permute(2, 0, 1).to(image)


def on_input(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A mask (H,W) at another size (h,w): the pixel under each pixel's centre."""
    import numpy as np

    rows, columns = (
        ((np.arange(now) + 0.5) * old / now).astype(int) for now, old in zip(size, mask.shape, strict=True)
    )
    return mask[rows][:, columns]


def background(mask: np.ndarray, seed: int) -> np.ndarray:
    """As many pixels beside mask (h,w), at most half of the picture: its shape, moved (around the border) to one of the
    places where it meets the object least; what would fall on the object goes to the nearest free pixels."""
    import numpy as np
    from scipy.ndimage import distance_transform_edt

    spectrum = np.fft.rfft2(mask.astype(float))
    overlap = np.rint(np.fft.irfft2(spectrum * spectrum.conj(), mask.shape))
    places = np.argwhere(overlap == overlap.min())
    moved = np.roll(mask, places[np.random.default_rng(seed).integers(len(places))], (0, 1))
    away = distance_transform_edt(~moved)
    away[mask] = np.inf
    chosen = np.zeros(mask.size, bool)
    chosen[np.argsort(away, axis=None, kind="stable")[: int(mask.sum())]] = True
    return chosen.reshape(mask.shape)


def observe(cfg: Any, top_k: int, say: Any = print) -> pd.DataFrame:
    """A line a pair and fill: key, label, fill, area, kept, lost, and the class's probability before (whole), without
    the object (without) and without background (beside)."""
    import numpy as np
    import pandas as pd
    from tqdm import tqdm

    from eval.measures.network_outputs import outputs
    from eval.networks.probability import probabilities
    from eval.running.job import prepare_classifier, prepare_dataset
    from eval.running.method_call import seed_for
    from eval.running.settings import protocol_of

    dataset, planned = prepare_dataset(cfg)
    classifier = prepare_classifier(cfg, dataset.classes)
    entries = [each for each in planned.scorable(classifier.outputs).entries if not cfg.limit or each[0] < cfg.limit]
    shown, large, unseen, lines = protocol_of(cfg).input, 0, 0, []
    for _, sample, pairs in tqdm(entries, desc="pictures", disable=None):
        image, seed = shown.pixels(sample.image).to(classifier.device), seed_for(cfg.seed, sample.key)
        answer = outputs(classifier, [image], 1)
        for pair in pairs:
            chosen = classifier.outputs[pair.label]
            if _rank(answer, chosen) >= top_k:
                unseen += 1
                continue
            mask = on_input(sample.region(pair.label).mask, tuple(image.shape[-2:]))
            if not 0 < mask.sum() <= LARGEST * mask.size:
                large += 1
                continue
            masks = [mask, background(mask, seed)]
            pictures = [filled(fill, image, each, classifier, seed) for fill in FILLS for each in masks]
            after = outputs(classifier, pictures, len(pictures))
            seen = np.array([_rank(each[None], chosen) < top_k for each in after]).reshape(len(FILLS), 2)
            share = probabilities(after, chosen, "softmax").numpy().reshape(len(FILLS), 2)
            whole = float(probabilities(answer, chosen, "softmax")[0])
            for fill, (kept, there), (without, beside) in zip(FILLS, seen, share, strict=True):
                lines.append({
                    "key": sample.key, "label": dataset.classes[pair.label], "fill": fill, "area": mask.mean(),
                    "kept": float(kept), "lost": float(not there), "whole": whole, "without": without, "beside": beside,
                })  # fmt: skip
    say(f"{len(lines) // len(FILLS)} pairs; left out: {unseen} that the network has not in its top {top_k}, {large} "
        f"whose object covers more than {LARGEST:.0%} of the input, or no pixel of it")  # fmt: skip
    if not lines:
        raise ValueError("no pair is left: the network sees none of these classes in its top k")
    return pd.DataFrame(lines)


def _rank(output: Tensor, chosen: list[int]) -> int:
    """How many other outputs of (1,C) or (1,C,i,j) are higher than the class's score."""
    from eval.networks.probability import logit

    scores = output[0].flatten(1).logsumexp(1) if output.dim() > 2 else output[0]
    scores = scores.clone()
    scores[list(chosen)] = -float("inf")
    return int((scores > logit(output, chosen)[0]).sum())


def table(frame: pd.DataFrame, resamples: int = 10_000) -> str:
    """Fills by what they do, as Markdown, and which is wrong least often."""
    from eval.files.markdown import markdown_table
    from eval.tables.resampling import kinds
    from eval.tables.statistics import interval, paired_test

    frame = frame.assign(wrong=(frame["kept"] + frame["lost"]) / 2)
    wrong = frame.pivot(index=["key", "label"], columns="fill", values="wrong")[list(dict.fromkeys(frame["fill"]))]
    best = str(wrong.mean().idxmin())
    lines = [["fill", "wrong ↓", "kept without the object ↓", "lost without background ↓", f"wrong, minus {best}"]]
    for fill, part in frame.groupby("fill", sort=False):
        cells = [str(fill)]
        for name in ("wrong", "kept", "lost"):
            low, high = interval(kinds(part["key"], part[name].to_numpy()), resamples=resamples)
            cells.append(f"{part[name].mean():.3f} [{low:.3f}, {high:.3f}]")
        if fill != best:
            test = paired_test(wrong.index.get_level_values("key"), wrong[fill], wrong[best], resamples=resamples)
            cells.append(f"{test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}]")
        lines.append([*cells, *[""] * (5 - len(cells))])
    return f"{markdown_table(lines)}\n\nWrong least often: {best}."


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("settings", nargs="*", metavar="SETTING=VALUE", help="of run.py: dataset, model, limit, ...")
    parser.add_argument(
        "--top-k", type=int, default=1, metavar="K", help="a class counts as seen; default: %(default)s"
    )
    parser.add_argument("--pairs", type=Path, metavar="FILE", help="write every pair's answers as CSV")


def act(arguments: argparse.Namespace) -> None:
    from eval.running.config import load

    if arguments.top_k < 1:
        raise ValueError(f"top-k must be at least 1, not {arguments.top_k}")
    frame = observe(load(arguments.settings), arguments.top_k)
    if arguments.pairs:
        frame.to_csv(arguments.pairs, index=False)
    print(table(frame))


main = command(Command("scripts.removal", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
