"""A grid of GPNN variations of a picture, the picture itself first.

    python -m scripts.figure variations photo.jpg                        nine variations -> photo-variations.png
    python -m scripts.figure variations a.jpg b.jpg --n 6 --sigma 0.75 --noise grey --out grid.png

One row of cells per line of --columns; several pictures follow one another.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    import numpy as np
    import torch

GAP = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE")
    parser.add_argument("--out", type=Path, help="PNG to write; default: NAME-variations.png in the current folder")
    parser.add_argument("--n", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=5)
    parser.add_argument("--side", type=int, default=224, help="shorter side in pixels")
    parser.add_argument("--squash", action="store_true", help="make the picture square, as the networks see it")
    parser.add_argument("--sigma", type=float, default=3.0)
    parser.add_argument("--noise", choices=["rgb", "grey"], default="rgb")
    parser.add_argument("--alpha", type=float, help="of the completeness score; default: gpnncam.variations' own")
    parser.add_argument("--plain", action="store_true", help="by plain distance, as in GPNN-CAM")


def act(arguments: argparse.Namespace) -> None:
    import numpy as np
    from PIL import Image

    from gpnncam import variations
    from gpnncam.cam import PLAIN

    if arguments.columns < 1:
        raise ValueError(f"--columns must be at least 1, not {arguments.columns}.")
    parts = []
    for path in arguments.images:
        image = read(path, arguments.side, arguments.squash or len(arguments.images) > 1)
        settings = {"sigma": arguments.sigma, "noise": arguments.noise} | (PLAIN if arguments.plain else {})
        settings |= {} if arguments.alpha is None else {"alpha": arguments.alpha}
        result = variations(image, arguments.n, arguments.seed, **settings)
        if parts:
            parts.append(np.full((3 * GAP, parts[0].shape[1], 3), 255, np.uint8))
        parts.append(grid([image, *result.pixels], arguments.columns))
    out = arguments.out or Path(f"{arguments.images[0].stem}-variations.png")
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.concatenate(parts)).save(out)
    print(out)


def read(path: Path, side: int, squash: bool) -> torch.Tensor:
    """(3, H, W) in [0, 1]; shorter side `side` pixels, or both if squashed."""
    import numpy as np
    import torch
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            factor = side / min(image.size)
            size = (side, side) if squash else tuple(max(side, round(s * factor)) for s in image.size)
            pixels = np.array(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no picture {path}") from None
    except (UnidentifiedImageError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a picture: {error}") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255


def grid(pictures: list[torch.Tensor], columns: int) -> np.ndarray:
    """Cells (3, H, W) of one size -> (h, w, 3) uint8, row by row, on white."""
    import numpy as np

    _, height, width = pictures[0].shape
    rows = -(-len(pictures) // columns)
    canvas = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for index, picture in enumerate(pictures):
        y, x = (index // columns) * (height + GAP), (index % columns) * (width + GAP)
        canvas[y : y + height, x : x + width] = (picture * 255).round().byte().permute(1, 2, 0).numpy()
    return canvas


main = command(Command("scripts.figure variations", __doc__, add_arguments, act))
