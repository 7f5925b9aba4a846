"""Ground-truth regions: where a pixel lies inside, how far a point is away, how much of a map falls in."""

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class Region:
    """A non-empty set of pixels of a picture: a union of boxes, or a mask.

    boxes: (M,4) int x0 y0 x1 y1, 0-based, end exclusive, inside the picture; empty when `given` is set.
    size: (width, height) of the picture.
    given: (height,width) bool mask, or None.
    """

    boxes: np.ndarray
    size: tuple[int, int]
    given: np.ndarray | None = None

    @classmethod
    def from_boxes(cls, boxes: np.ndarray, size: tuple[int, int]) -> "Region":
        """The union of boxes (N,4), x0 y0 x1 y1, end exclusive, on a picture of size (w,h)."""
        if len(boxes) == 0:
            raise ValueError("a region needs at least one box")
        return cls(np.asarray(boxes, dtype=np.int64), size)

    @classmethod
    def from_mask(cls, mask: np.ndarray) -> "Region":
        """The true pixels of a mask (h,w)."""
        if not mask.any():
            raise ValueError("a region needs at least one pixel")
        return cls(np.zeros((0, 4), np.int64), (mask.shape[1], mask.shape[0]), mask.astype(bool))

    @cached_property
    def mask(self) -> np.ndarray:
        """(height,width) bool."""
        if self.given is not None:
            return self.given
        mask = np.zeros((self.size[1], self.size[0]), dtype=bool)
        for x0, y0, x1, y1 in self.boxes:
            mask[y0:y1, x0:x1] = True
        return mask

    @cached_property
    def area(self) -> int:
        """Number of pixels."""
        if self.given is not None:
            return int(self.given.sum())
        if len(self.boxes) == 1:
            ((x0, y0, x1, y1),) = self.boxes.tolist()
            return (x1 - x0) * (y1 - y0)
        x0, y0, x1, y1 = self.boxes.T  # between two neighbouring edges a union is full or empty
        xs, ys = np.unique([x0, x1]), np.unique([y0, y1])
        across, down = ((e[:-1, None] >= a) & (e[:-1, None] < b) for e, a, b in ((xs, x0, x1), (ys, y0, y1)))
        return int(np.diff(xs) @ (across @ down.T) @ np.diff(ys))

    @cached_property
    def digest(self) -> str:
        """Sixteen hex digits of which pixels these are, whatever the order of the boxes."""
        if self.given is None:
            content = np.array(sorted(set(map(tuple, self.boxes.tolist()))), "<i8").tobytes()
        else:
            content = np.packbits(self.given).tobytes()
        return hashlib.sha256(repr((self.given is None, self.size)).encode() + content).hexdigest()[:16]

    def contains(self, x: float, y: float) -> bool:
        """Whether the pixel that holds the point (x right, y down, pixel i covers [i, i+1)) belongs to the region."""
        column, row = int(np.floor(x)), int(np.floor(y))
        if self.given is not None:
            inside = 0 <= column < self.size[0] and 0 <= row < self.size[1]
            return bool(inside and self.given[row, column])
        x0, y0, x1, y1 = self.boxes.T
        return bool(((x0 <= column) & (column < x1) & (y0 <= row) & (row < y1)).any())

    def distance(self, x: float, y: float) -> float:
        """Pixels from the unrounded point to the nearest pixel of the region, at integer coordinates; 0 inside."""
        if self.contains(x, y):
            return 0.0
        if self.given is not None:
            rows, columns = self._edge
            return float(np.sqrt(((columns - x) ** 2 + (rows - y) ** 2).min()))
        x0, y0, x1, y1 = self.boxes.T
        # Between the first and last pixel of a side the nearest coordinate counts as reached: the sub-pixel rest
        # never decides a tolerance, and the closed form needs no raster.
        across = np.maximum(np.maximum(x0 - x, x - (x1 - 1)), 0)
        down = np.maximum(np.maximum(y0 - y, y - (y1 - 1)), 0)
        return float(np.hypot(across, down).min())

    @cached_property
    def _edge(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows and columns of the mask's border pixels, those that a side or a corner joins to a pixel outside.

        The nearest pixel from outside is always one of them: a point between pixels may be nearest to one that only
        the corner joins to the pixel that holds it.
        """
        assert self.given is not None, "boxes have no such border"
        padded = np.pad(self.given, 1)
        rows_inner = padded[:, :-2] & padded[:, 1:-1] & padded[:, 2:]
        inner = rows_inner[:-2] & rows_inner[1:-1] & rows_inner[2:]
        rows, columns = np.nonzero(self.given & ~inner)
        return rows, columns
