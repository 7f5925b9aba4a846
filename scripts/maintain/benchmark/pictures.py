"""The pictures that the benchmarks work on: those of a folder, built-in scenes, or made here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from PIL import Image

    from eval.game.sample import Sample

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
VOC_SIZES = ((500, 375), (375, 500), (500, 333), (333, 500), (500, 400))


def resized(image: Image.Image, side: int) -> torch.Tensor:
    """(3,side,side) RGB in [0,1], squashed."""
    import numpy as np
    import torch
    from PIL import Image

    pixels = np.array(image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def pictures(folder: Path | None, count: int, side: int) -> list[tuple[str, torch.Tensor]]:
    """(name, (3,side,side)) of `count` pictures spread evenly over a folder, or of the built-in data."""
    from PIL import Image

    from eval.datasets.demo import Demo

    if folder is None:
        data = Demo("test", count)
        return [(data[i].key, resized(data[i].image, side)) for i in range(count)]
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise FileNotFoundError(f"there is no picture in {folder}")
    return [(path.stem, resized(Image.open(path), side)) for path in paths[:: max(1, len(paths) // count)][:count]]


def discs(side: int) -> torch.Tensor:
    """(3,side,side) smooth colours with sharp discs: structure on every scale, so that the generator has work."""
    import numpy as np
    import torch

    generator = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side] / side
    image = np.stack([0.5 + 0.3 * np.sin(6 * x + i) * np.cos(5 * y - i) for i in range(3)])
    for _ in range(25):
        cx, cy, radius = *generator.random(2), 0.02 + 0.1 * generator.random()
        image[:, (x - cx) ** 2 + (y - cy) ** 2 < radius**2] = generator.random((3, 1))
    noisy = image + 0.03 * generator.standard_normal(image.shape)
    return torch.from_numpy(np.clip(noisy, 0, 1)).float()


def photographs(folder: Path, count: int, sizes: Sequence[tuple[int, int]] = VOC_SIZES) -> list[Sample]:
    """JPEG files of these sizes (w,h) in turn, as large as VOC's (about 90 kB at 500 x 375), of 1,000 classes.

    Their detail decides how long they take to decode: smooth structure plus grain.
    """
    import numpy as np
    from PIL import Image

    from eval.datasets.pictures import Picture
    from eval.game.sample import Sample

    rng, samples = np.random.default_rng(0), []
    for number in range(count):
        width, height = sizes[number % len(sizes)]
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), np.uint8)).resize((width, height))
        noisy = np.asarray(coarse, np.int16) + rng.integers(-24, 25, (height, width, 1))
        name = f"{number:06d}.jpg"
        Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8)).save(folder / name, quality=85)
        box, label = np.array([[0, 0, width, height]]), np.array([number % 1000])
        picture = Picture(folder.resolve(), name, (width, height))
        samples.append(Sample(name, (width, height), box, label, np.array([False]), picture))
    return samples
