"""Batches of the built-in data for training its networks: crops of objects, windows of scenes, whole scenes."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from eval.networks import demo as networks
from scripts.maintain.train_demo.pictures import Pictures

CROP = 72  # stored side of an object's crop; a window of 64 is drawn from it
SHOWN, ABSENT = 0.6, 0.2  # a window shows an object from this share of its box on, and does not below that


def crops(pictures: Pictures, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Squares of CROP pixels around each unflagged object, (M,CROP,CROP,3) uint8, and its class (M,).

    The object fills the square or only half its side: what a class looks like is learnt at several sizes.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    side = pictures.pixels.shape[1]
    out = np.empty((len(pictures.boxes), CROP, CROP, 3), np.uint8)
    for crop, (index, _, x0, y0, x1, y1) in zip(out, pictures.boxes.tolist(), strict=True):
        size = min(side, round(rng.uniform(1.1, 2.0) * max(x1 - x0, y1 - y0)))
        x, y = (min(max(0, (low + high - size) // 2), side - size) for low, high in ((x0, x1), (y0, y1)))
        cv2.resize(pictures.pixels[index, y : y + size, x : x + size], (CROP, CROP), crop, interpolation=cv2.INTER_AREA)
    return out, pictures.boxes[:, 1].astype(np.int64)


def crop_batches(pictures: Pictures, side: int, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (B,3,side,side) and classes (B,)."""
    inputs, labels = crops(pictures, seed)
    rng = np.random.Generator(np.random.PCG64(seed))
    for chosen in _shuffled(rng, len(inputs), batch):
        images = np.empty((len(chosen), side, side, 3), np.uint8)
        for to, index in zip(images, chosen, strict=True):
            y, x = rng.integers(0, CROP - side + 1, 2)
            to[:] = inputs[index, y : y + side, x : x + side]
        yield _varied(rng, images), torch.from_numpy(labels[chosen])


def scene_batches(pictures: Pictures, side: int, batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless (B,3,side,side) and labels (B,C) int8 as in Pictures.truth.

    Smaller than the pictures: windows at their full resolution, every second one around an object. Else whole
    pictures, shifted by up to a fourteenth of their side; what moves in is mirrored.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    whole = pictures.pixels.shape[1]
    starts = np.searchsorted(pictures.boxes[:, 0], np.arange(len(pictures.pixels) + 1))
    for chosen in _shuffled(rng, len(pictures.pixels), batch):
        images, labels = np.empty((len(chosen), side, side, 3), np.uint8), pictures.truth[chosen]
        for to, label, index in zip(images, labels, chosen, strict=True):
            picture = pictures.pixels[index]
            if side == whole:
                border = side // 28
                y, x = rng.integers(0, 2 * border + 1, 2)
                picture = cv2.copyMakeBorder(picture, *[border] * 4, cv2.BORDER_REFLECT_101)
            else:
                boxes = pictures.boxes[starts[index] : starts[index + 1], 1:]
                x, y = _corner(rng, boxes, side, whole)
                label[:] = window_truth(label, boxes, x, y, side)
            to[:] = picture[y : y + side, x : x + side]
        yield _varied(rng, images), torch.from_numpy(labels)


def _corner(rng: np.random.Generator, boxes: np.ndarray, side: int, whole: int) -> tuple[int, int]:
    """x, y of a window's top-left corner: anywhere, or anywhere that keeps a random object's centre well inside."""
    if len(boxes) == 0 or rng.random() < 0.5:
        return tuple(rng.integers(0, whole - side + 1, 2))
    _, x0, y0, x1, y1 = boxes[rng.integers(len(boxes))]
    middle = np.array((x0 + x1, y0 + y1)) / 2
    return tuple(np.clip(np.round(middle - side * rng.uniform(0.2, 0.8, 2)), 0, whole - side).astype(int))


def window_truth(truth: np.ndarray, boxes: np.ndarray, x: int, y: int, side: int) -> np.ndarray:
    """Labels (C,) int8 of the window with top-left corner x, y: 1 shown, 0 absent, -1 cut off or flagged.

    truth: the whole picture's labels. boxes: (K,5) class, x0 y0 x1 y1 of its unflagged objects. An object is shown
    if the window holds most of its box, or is itself mostly covered by the box.
    """
    out = np.where(truth < 0, truth, 0).astype(np.int8)
    for label, x0, y0, x1, y1 in boxes.tolist():
        common = max(0, min(x1, x + side) - max(x0, x)) * max(0, min(y1, y + side) - max(y0, y))
        share = max(common / ((x1 - x0) * (y1 - y0)), common / side**2)
        if share >= SHOWN:
            out[label] = 1
        elif share >= ABSENT and out[label] == 0:
            out[label] = -1
    return out


def _shuffled(rng: np.random.Generator, count: int, batch: int) -> Iterator[np.ndarray]:
    while True:
        order = rng.permutation(count)
        for start in range(0, max(1, count - batch + 1), batch):
            yield np.sort(order[start : start + batch])


def _varied(rng: np.random.Generator, images: np.ndarray) -> Tensor:
    """(B,S,S,3) uint8 -> (B,3,S,S), mirrored and brightened at random."""
    mirrored = rng.random(len(images)) < 0.5
    images[mirrored] = images[mirrored][:, :, ::-1]
    gain = torch.from_numpy(rng.uniform(0.8, 1.2, (len(images), 3, 1, 1)).astype(np.float32))
    return normalised(images) * gain


def normalised(images: np.ndarray) -> Tensor:
    """(B,S,S,3) uint8 -> (B,3,S,S) float32 as the networks want it."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (networks.MEAN, networks.STD))
    return (torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std
