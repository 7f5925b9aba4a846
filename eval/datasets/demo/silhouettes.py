"""Outlines of the built-in objects: pictographs of DejaVu Sans, the font that comes with matplotlib.

The outlines are read in font units without hinting and filled here, so a silhouette does not depend on a font
rasteriser: the boxes of the built-in data are the same wherever they are made.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

# name: (code point, what the glyph's holes and strokes mean)
#   open    holes are holes: one sees through them (scissors, gear)
#   filled  the outline is filled; its holes become a second tone (the dial of the telephone)
#   drawn   a line drawing: the outline is filled, its strokes become the second tone (the cat's face)
PICTOGRAPHS = {
    "airplane": (0x2708, "open"),
    "anchor": (0x2693, "open"),
    "cat": (0x1F431, "drawn"),
    "clover": (0x2618, "filled"),
    "cow": (0x1F42E, "drawn"),
    "crown": (0x265B, "filled"),
    "envelope": (0x2709, "drawn"),
    "flag": (0x2691, "filled"),
    "flower": (0x273F, "filled"),
    "gear": (0x2699, "open"),
    "hammer": (0x2692, "filled"),
    "heart": (0x2764, "filled"),
    "horse": (0x265E, "filled"),
    "note": (0x266B, "open"),
    "scissors": (0x2702, "open"),
    "skull": (0x2620, "drawn"),
    "star": (0x2605, "filled"),
    "sun": (0x2600, "filled"),
    "telephone": (0x260E, "filled"),
    "umbrella": (0x2602, "open"),
}
LETTERS = "ABEGKMQRSXZ&2358?"  # signs among the clutter, no class of the data
SUPERSAMPLING = 4


@dataclass(frozen=True)
class Silhouette:
    """A shape of closed contours. points: (N,2) float64 x y with y down; ends: where in it each contour ends."""

    points: np.ndarray
    ends: tuple[int, ...]
    style: str = "filled"

    def transformed(self, matrix: np.ndarray, shift: np.ndarray) -> "Silhouette":
        """Every point p (x y) becomes matrix (2,2) @ p + shift (2,)."""
        return Silhouette(self.points @ matrix.T + shift, self.ends, self.style)

    def bounds(self) -> tuple[float, float, float, float]:
        """x0 y0 x1 y1 of the outline."""
        return (*self.points.min(0).tolist(), *self.points.max(0).tolist())


@cache
def pictograph(code: int, style: str = "filled") -> Silhouette:
    """The outline of one character of DejaVu Sans, centred at 0, the larger side of its box 1 long."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = Path(matplotlib.get_data_path(), "fonts", "ttf", "DejaVuSans.ttf")
    if not font.is_file():
        raise FileNotFoundError(f"The built-in data needs matplotlib's own font, which is not at {font}")
    path = TextPath((0, 0), chr(code), size=1000, prop=FontProperties(fname=str(font)))
    contours = _flatten(path.vertices, path.codes)
    points = np.concatenate(contours) * (1, -1)
    low, high = points.min(0), points.max(0)
    ends = np.cumsum([len(contour) for contour in contours]).tolist()
    return Silhouette((points - (low + high) / 2) / (high - low).max(), tuple(ends), style)


def _flatten(vertices: np.ndarray, codes: np.ndarray, steps: int = 4) -> list[np.ndarray]:
    """Contours of a matplotlib path (vertices (N,2), codes (N,)) with every curve replaced by `steps` chords."""
    move, line, quadratic, cubic, close = 1, 2, 3, 4, 79
    contours, points, i = [], [], 0
    t = np.arange(1, steps + 1)[:, None] / steps
    while i < len(codes):
        code = codes[i]
        if code == move:
            points = [vertices[i]]
        elif code == line:
            points.append(vertices[i])
        elif code == quadratic:
            a, b, c = points[-1], vertices[i], vertices[i + 1]
            points.extend((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c)
        elif code == cubic:
            a, b, c, d = points[-1], *vertices[i : i + 3]
            points.extend((1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d)
        elif code == close:
            contours.append(np.array(points))
        i += {quadratic: 2, cubic: 3}.get(code, 1)
    return contours


@dataclass(frozen=True)
class Coverage:
    """A rasterised silhouette: where its crop lies in the picture and how much of each pixel it covers.

    x, y: the crop's top left corner in the picture, which the crop never leaves. body, detail: (h,w) float32 in
    [0,1]; detail is the part in the second tone.
    """

    x: int
    y: int
    body: np.ndarray
    detail: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """Index of the crop in a (side,side,...) picture."""
        h, w = self.body.shape
        return slice(self.y, self.y + h), slice(self.x, self.x + w)


def rasterise(silhouette: Silhouette, side: int) -> Coverage | None:
    """Fill a silhouette given in pixels of a side x side picture; None where it lies outside altogether."""
    x0, y0, x1, y1 = silhouette.bounds()
    left, top = max(0, int(np.floor(x0))), max(0, int(np.floor(y0)))
    right, bottom = min(side, int(np.ceil(x1))), min(side, int(np.ceil(y1)))
    if right <= left or bottom <= top:
        return None
    # Filled without anti-aliasing on a finer grid of integers: exact, and the same in every version of OpenCV.
    shape = ((bottom - top) * SUPERSAMPLING, (right - left) * SUPERSAMPLING)
    points = np.round((silhouette.points - (left, top)) * SUPERSAMPLING - 0.5).astype(np.int32)
    polygons = np.split(points, silhouette.ends[:-1])
    ink, body = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
    cv2.fillPoly(ink, polygons, 255)  # even-odd: holes stay empty
    if silhouette.style == "open":
        body, detail = ink, np.zeros(shape, np.uint8)
    else:
        for polygon in polygons:
            cv2.fillPoly(body, [polygon], 255)
        detail = ink if silhouette.style == "drawn" else body - ink
    small = (right - left, bottom - top)
    shrunk = [cv2.resize(m, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255 for m in (body, detail)]
    return Coverage(left, top, *shrunk)
