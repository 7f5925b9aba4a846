"""Image-level labels of a VOCdevkit, and which pictures settings are chosen on."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eval.datasets import names
from eval.datasets.voc import REMEDY, VOC

MEANS = {"1": 1, "0": 0, "-1": -1}
VALIDATION = 4  # without the devkit's own lists every fourth picture is one


def trainval_labels(main: Path, classes: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """(pictures, (N,C) int8) of ImageSets/Main/CLASS_trainval.txt: 1 there, 0 flagged difficult alone, -1 not there.

    ValueError names the file and line that is none, or the file that is about other pictures.
    """
    keys: list[str] = []
    columns = []
    for name in classes:
        path = names.file(main / f"{name}_trainval.txt", "the labels to train on", REMEDY)
        column: dict[str, int] = {}
        for number, line in enumerate(names.text(path).splitlines(), 1):
            parts = line.split()
            if not parts:
                continue
            if len(parts) != 2 or parts[1] not in MEANS or parts[0] in column:
                raise ValueError(f"{path}, line {number}: {line!r} is no picture, once, with 1, 0 or -1")
            column[parts[0]] = MEANS[parts[1]]
        keys = keys or list(column)
        if set(column) != set(keys) or not keys:
            raise ValueError(f"{path} is about other pictures than {classes[0]}_trainval.txt, or about none")
        columns.append([column[key] for key in keys])
    return keys, np.array(columns, np.int8).T


def test_labels(dataset: VOC) -> np.ndarray:
    """(N,C) int8, the same of annotations with boxes."""
    truth = np.full((len(dataset), len(dataset.classes)), -1, np.int8)
    for row, sample in zip(truth, (dataset[index] for index in range(len(dataset))), strict=True):
        row[sample.labels[sample.hard]] = 0
        row[sample.labels[~sample.hard]] = 1
    return truth


def validation(main: Path, keys: Sequence[str], seed: int) -> tuple[np.ndarray, str]:
    """((N,) bool, which split it is): the devkit's own val.txt where train.txt and val.txt divide the pictures, else
    one picture in VALIDATION, drawn by the SHA-256 of seed and name."""
    paths = main / "train.txt", main / "val.txt"
    if all(path.is_file() for path in paths):
        train, val = (set(names.text(path).split()) for path in paths)
        if train & val or not set(keys) <= train | val:
            raise ValueError(f"{paths[0]} and {paths[1]} do not divide the pictures of the labels")
        return np.array([key in val for key in keys]), "the devkit's train.txt and val.txt"
    drawn = [int(hashlib.sha256(f"{seed}:{key}".encode()).hexdigest(), 16) % VALIDATION == 0 for key in keys]
    return np.array(drawn), f"SHA-256 of '{seed}:KEY' divisible by {VALIDATION} (the devkit has no train.txt, val.txt)"
