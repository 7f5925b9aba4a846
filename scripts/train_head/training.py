"""The training of a head from its command: features, penalty, the file and what it is worth."""

import hashlib
import shlex
from argparse import Namespace

import numpy as np
import torch
from safetensors.torch import save_file
from tqdm import tqdm

from eval.datasets import names
from eval.datasets.pictures import Picture
from eval.datasets.voc import VOC
from eval.files.journal import make_folder
from eval.files.places import ROOT
from eval.records.provenance import provenance, weights_digest
from eval.running.build import build_dataset, build_network
from eval.running.config import load
from eval.running.settings import protocol_of
from scripts.train_head.features import features
from scripts.train_head.fit import Head, fitted, mean_average_precision
from scripts.train_head.labels import test_labels, trainval_labels, validation

PENALTIES = tuple(10 ** (power / 4) for power in range(0, -9, -1))  # 1 to 0.01, large first: each starts at the last


def _placeless(setting: str) -> str:
    name, _, value = setting.partition("=")
    return f"{name}=DIR" if value.startswith(("/", "~", "..")) else setting


def train(arguments: Namespace) -> None:
    """Train the head that the arguments name and write it."""
    cfg = load(["dataset=pascal", *arguments.settings])
    test = build_dataset(cfg)
    if not isinstance(test, VOC) or test.root is None:
        raise ValueError("a head is trained on a VOCdevkit: dataset=pascal dataset.root=DIR")
    main = test.root / "ImageSets" / "Main"
    keys, truth = trainval_labels(main, test.classes)
    held_out, split = validation(main, keys, arguments.seed)
    if not held_out.any() or held_out.all():
        raise ValueError(f"{split}: one side of {len(keys)} pictures is empty")
    folder = names.folder(test.root / "JPEGImages", "VOC's pictures", "")
    files, lost = names.located(folder, [f"{key}.jpg" for key in keys])
    if lost:
        raise FileNotFoundError(f"{len(lost)} of {len(keys)} pictures are not in {folder}, the first is {lost[0]}")
    classifier, pixels = build_network(cfg, None), protocol_of(cfg).input
    digest = weights_digest(classifier.network)
    pictures = [Picture(folder, name) for name in files]
    inputs = features(classifier, pixels, pictures, arguments.cache)
    penalty, found = chosen(inputs, truth, held_out)
    head = halved(fitted(inputs, truth, penalty))
    tested = features(classifier, pixels, [Picture(folder, name) for name in test.files["JPEGImages"]], arguments.cache)
    worth = mean_average_precision(head.scores(tested), test_labels(test))
    made = provenance(str(classifier.device))
    metadata = {
        "classes": ",".join(test.classes),
        "network": str(cfg.model.name),
        "network_weights": digest,
        "input": f"{pixels.mode}, side {pixels.side}",
        "data": f"{len(keys)} pictures, SHA-256 {_digest(pictures)} (files), {_digest(keys, truth)} (labels)",
        "split": f"{held_out.sum()} of them for the penalty: {split}",
        "seed": str(arguments.seed),
        "penalty": f"{penalty:.3g} of {', '.join(f'{value:.3g}' for value in PENALTIES)}",
        "val_map": f"{found:.4f}",
        "test_map": f"{worth:.4f}",
        "test_pictures": str(len(test)),
        "rule": "VOC2007: mean of the precision at 11 recalls; pictures with a class flagged difficult left out for it",
        # A place says nothing to others, and the file is for them.
        "command": shlex.join(["python", "-m", "scripts.train_head", *map(_placeless, arguments.settings)]),
        "versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items()),
        "commit": str(made["commit"]) + " and changes" * made["dirty"],
    }
    path = arguments.out or ROOT / "eval" / "networks" / "heads" / f"{cfg.model.name}_voc.safetensors"
    make_folder(path.parent.absolute())
    save_file({name: torch.from_numpy(value).half() for name, value in head._asdict().items()}, path, metadata)
    size = path.stat().st_size / 1e3
    print(f"{path}: {size:.0f} kB; mean average precision {found:.4f} on {held_out.sum()} pictures "
          f"of trainval, {worth:.4f} on {len(test)} of test; penalty {penalty:.3g}")  # fmt: skip


def chosen(inputs: np.ndarray, truth: np.ndarray, held_out: np.ndarray) -> tuple[float, float]:
    """(the penalty with the highest mean average precision on the pictures held out, that precision); inputs (N,F)."""
    worth: dict[float, float] = {}
    head = None
    for penalty in tqdm(PENALTIES, desc="penalties"):
        head = fitted(inputs[~held_out], truth[~held_out], penalty, head)
        worth[penalty] = mean_average_precision(halved(head).scores(inputs[held_out]), truth[held_out])
    best = max(worth, key=lambda penalty: worth[penalty])
    return best, worth[best]


def halved(head: Head) -> Head:
    """The head in the half precision of its file."""
    return Head(*(value.astype(np.float16).astype(np.float64) for value in head))


def _digest(*parts: object) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for each in part if isinstance(part, list) else [part]:
            text = each.digest() if isinstance(each, Picture) else each
            digest.update(text.tobytes() if isinstance(text, np.ndarray) else f"{text}\n".encode())
    return digest.hexdigest()[:16]
