"""The built-in training pictures as arrays, rendered once by all cores and kept: training reads them many times."""

from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from tqdm import tqdm

from eval.datasets.demo import CLASSES, Demo
from eval.files.places import cores

CHUNK = 50


class Pictures(NamedTuple):
    """pixels: (N,S,S,3) uint8, memory-mapped. truth: (N,C) int8, 1 shown, 0 absent, -1 only flagged objects.
    boxes: (M,6) int32, picture, class, x0 y0 x1 y1 of every unflagged object."""

    pixels: np.ndarray
    truth: np.ndarray
    boxes: np.ndarray


def load(dataset: Demo, folder: Path, jobs: int | None = None) -> Pictures:
    """All pictures of a split; rendered into `folder` unless they are there already."""
    stem = f"demo-{dataset.split}-{dataset.seed}-{len(dataset)}-{dataset.side}"
    pixels, rest = folder / f"{stem}.npy", folder / f"{stem}.npz"
    if not (pixels.is_file() and rest.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        _render(dataset, pixels, rest, jobs or cores())
    arrays = np.load(rest)
    return Pictures(np.load(pixels, mmap_mode="r"), arrays["truth"], arrays["boxes"])


def _render(dataset: Demo, pixels: Path, rest: Path, jobs: int) -> None:
    shape = (len(dataset), dataset.side, dataset.side, 3)
    unfinished = pixels.with_suffix(".part")
    np.lib.format.open_memmap(unfinished, "w+", np.uint8, shape)
    truth, boxes = np.zeros((len(dataset), len(CLASSES)), np.int8), []
    starts = range(0, len(dataset), CHUNK)
    with ProcessPoolExecutor(jobs, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        work = pool.map(partial(_chunk, dataset, unfinished), starts)
        for part in tqdm(work, total=len(starts), desc=f"rendering {len(dataset)} {dataset.split} pictures"):
            for index, label, hard, *box in part:
                if not hard:
                    boxes.append((index, label, *box))
                truth[index, label] = 1 if not hard or truth[index, label] == 1 else -1
    np.savez_compressed(rest, truth=truth, boxes=np.array(boxes, np.int32))
    unfinished.rename(pixels)


def _chunk(dataset: Demo, path: Path, start: int) -> list[tuple[int, ...]]:
    """Render CHUNK pictures into the file at `path`; returns index, class, hard, x0 y0 x1 y1 of their objects."""
    pixels = np.load(path, mmap_mode="r+")
    rows = []
    for index in range(start, min(start + CHUNK, len(dataset))):
        sample = dataset[index]
        pixels[index] = np.asarray(sample.image)
        for box, label, hard in zip(sample.boxes, sample.labels, sample.hard, strict=True):
            rows.append((index, int(label), int(hard), *map(int, box)))
    pixels.flush()
    return rows
