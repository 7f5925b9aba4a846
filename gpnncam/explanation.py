"""From a picture to heat maps on the screen: `cam.explain("dog")`, for scripts and notebooks."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gpnncam.classifier import Wrapped
from gpnncam.pictures import each, enlarged, resized

# Five of the 256 colours of matplotlib's inferno, dark to bright.
COLOURS = np.array([[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]], float)

# Pixels of the longer side of what an explanation keeps and shows; a notebook embeds it.
SHOWN = 800


@dataclass(frozen=True, eq=False)
class Explanation:
    """The answer about one picture and K classes.

    picture: (H,W,3) uint8, upright; one of more than 800 pixels a side is reduced to that. size: (width, height) of
    the given one. targets: K numbers of classes. names: K texts. scores: K logits of the network. maps: (K,h,w), as the
    method returns them. heat: (K,H,W) float32 in [0,1], the maps on the grid of `picture`, each from its lowest to its
    highest value (a constant one is 0). points: K pairs (x, y), the highest pixel of `heat`, in pixels of the given
    picture from the top left corner.
    """

    picture: np.ndarray
    targets: list[int]
    names: list[str]
    scores: list[float]
    maps: Tensor
    heat: np.ndarray
    points: list[tuple[int, int]]
    size: tuple[int, int]

    def overlay(self, index: int = 0, strength: float = 0.5) -> np.ndarray:
        """(H,W,3) uint8: the picture under the heat map of class number `index` of `targets`; for plt.imshow or
        PIL.Image.fromarray."""
        heat = self.heat[index][..., None]
        places = np.linspace(0, 1, len(COLOURS))
        colour = np.stack([np.interp(heat[..., 0], places, COLOURS[:, channel]) for channel in range(3)], -1)
        alpha = strength * (0.5 + 0.5 * heat)
        return ((1 - alpha) * self.picture + alpha * colour).round().astype(np.uint8)

    def save(self, path: str | PathLike) -> None:
        """Write a PNG: the picture, then its overlay for every class, side by side."""
        Path(path).write_bytes(self._repr_png_())

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        gap = np.full((len(self.picture), 4, 3), 255, np.uint8)
        parts = [self.picture]
        for index in range(len(self.targets)):
            parts += [gap, self.overlay(index)]
        return _png(np.concatenate(parts, axis=1))


def explain(
    method: Callable[[Tensor, Tensor], Any],
    classifier: Wrapped,
    picture: Any,
    targets: Any = None,
    top: int = 1,
    seed: int = 0,
) -> Explanation | list[Explanation]:
    """The heat maps of a method, `method(image (3,h,w), targets (K,)) -> (K,h,w)`, about one or several pictures.

    picture: see `gpnncam.pictures.KINDS`; of a batch or list a list of explanations is returned, all about the same
    targets. targets: an int, a class's name, a list or a tensor of these; None: the `top` classes that the network
    scores highest. seed: of what the method draws from torch's generator. ValueError says what cannot be meant.
    """
    pictures, batch = each(picture)
    explanations = [_one(method, classifier, one, targets, top, seed) for one in pictures]
    return explanations if batch else explanations[0]


def _one(
    method: Callable[[Tensor, Tensor], Any], classifier: Wrapped, picture: Tensor, targets: Any, top: int, seed: int
) -> Explanation:
    pixels = resized(picture, (classifier.side, classifier.side)).to(classifier.device)
    # A method states where it reads larger pictures than the network was trained on.
    side = getattr(method, "side", classifier.side)
    given = pixels if side == classifier.side else resized(picture, (side, side)).to(classifier.device)
    with torch.no_grad():
        output = classifier.network(classifier.normalise(pixels))
        logits = [float(classifier.score(output, index)[0]) for index in range(len(classifier.outputs))]
    if targets is None:
        if not 1 <= top <= len(logits):
            raise ValueError(f"top is {top}; the network has {len(logits)} outputs")
        chosen = sorted(range(len(logits)), key=lambda index: -logits[index])[:top]
    else:
        chosen = classifier.indices(targets)
    with torch.random.fork_rng(range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []):
        torch.manual_seed(seed)
        maps = torch.as_tensor(method(given, torch.tensor(chosen))).detach().cpu()
    if maps.dim() != 3 or len(maps) != len(chosen) or not torch.isfinite(maps).all():
        raise ValueError(f"expected {len(chosen)} finite maps (K,h,w), got {tuple(maps.shape)}")
    height, width = picture.shape[1:]
    shrink = min(1.0, SHOWN / max(height, width))
    shown = max(1, round(height * shrink)), max(1, round(width * shrink))
    heat = enlarged(maps.double(), shown)
    low, span = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True) - heat.amin((1, 2), keepdim=True)
    heat = torch.where(span > 0, (heat - low) / span.clamp_min(1e-300), 0.0)
    peaks = [divmod(int(one.argmax()), shown[1]) for one in heat]
    names = [classifier.classes[index] if classifier.classes else str(index) for index in chosen]
    image = (resized(picture, shown) * 255).round().byte().movedim(0, -1).numpy()
    points = [(int((column + 0.5) * width / shown[1]), int((row + 0.5) * height / shown[0])) for row, column in peaks]
    scores = [logits[index] for index in chosen]
    return Explanation(image, chosen, names, scores, maps, heat.float().numpy(), points, (width, height))


def _png(pixels: np.ndarray) -> bytes:
    """(H,W,3) uint8 as a PNG file (W3C's specification: signature, IHDR, IDAT, IEND)."""
    height, width, _ = pixels.shape
    rows = pixels.reshape(height, -1)
    # Filter 2: each row as its difference from the row above, which packs photographs better.
    lines = np.insert(np.diff(rows, axis=0, prepend=np.zeros_like(rows[:1])), 0, 2, axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)
