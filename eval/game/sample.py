"""What a data set yields: pictures with labelled boxes, and the pairs that the pointing game asks about."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from eval.game.region import Region


@dataclass(frozen=True, eq=False)
class Sample:
    """One annotated picture, not yet decoded.

    key: unique in its data set, e.g. "000001"; names the picture in rows, messages and seeds.
    size: (width, height) of the original picture in pixels.
    boxes: (N,4) int, x0 y0 x1 y1 in original pixels, origin top left, 0-based, end exclusive.
    labels: (N,) int, class index of each box in the data set's `classes`.
    hard: (N,) bool, the annotators' own `difficult` flag (VOC) or crowd flag (COCO).
    open: picklable, returns the decoded RGB picture of exactly `size`; raises ValueError or OSError naming the file.
        May have header_size() -> (width, height), which reads the file's header alone.
    masks: None, or picklable: objects' numbers (K,) -> the (height,width) bool union of their masks.
    """

    key: str
    size: tuple[int, int]
    boxes: np.ndarray
    labels: np.ndarray
    hard: np.ndarray
    open: Callable[[], Image.Image]
    masks: Callable[[np.ndarray], np.ndarray] | None = None

    def __post_init__(self) -> None:
        width, height = self.size
        if not (len(self.boxes) == len(self.labels) == len(self.hard)):
            raise ValueError(f"{self.key}: boxes, labels and hard differ in length")
        for name, kinds, what in (("boxes", "iu", "ints"), ("labels", "iu", "ints"), ("hard", "b", "bools")):
            values = getattr(self, name)
            # 0 and 1 as numbers would pick other objects instead of leaving some out.
            if len(values) and (not isinstance(values, np.ndarray) or values.dtype.kind not in kinds):
                raise ValueError(f"{self.key}: {name} must be an array of {what}")
        for x0, y0, x1, y1 in self.boxes:
            if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
                raise ValueError(
                    f"{self.key}: box ({x0}, {y0}, {x1}, {y1}) is empty or leaves the {width} x {height} picture"
                )

    @property
    def image(self) -> Image.Image:
        """The picture, decoded anew at each use (a run holds thousands of samples) and checked against the size."""
        image = self.open()
        self._agree(image.size)
        return image

    @property
    def file_digest(self) -> str | None:
        """Sixteen hex digits of the picture file's bytes; None for a picture that no file holds, or that is gone."""
        digest = getattr(self.open, "digest", None)
        try:
            return digest() if digest else None
        except (OSError, ValueError):
            return None

    def check_size(self) -> None:
        """Compares the size in the picture file's header with the annotation's, where nobody decodes the picture.

        ValueError or OSError as from `image`. A picture whose `open` has no `header_size` is made, not read.
        """
        header_size = getattr(self.open, "header_size", None)
        if header_size is not None:
            self._agree(header_size())

    def _agree(self, decoded: tuple[int, int]) -> None:
        if decoded != self.size:
            says = f"its annotation says {self.size[0]} x {self.size[1]}"
            raise ValueError(f"{self.key}: the picture is {decoded[0]} x {decoded[1]}, {says}")

    def region(self, label: int) -> Region:
        """The ground truth of a class: the union of all its boxes (or masks), flagged objects included."""
        of_class = np.flatnonzero(self.labels == label)
        if self.masks is not None:
            return Region.from_mask(self.masks(of_class))
        return Region.from_boxes(self.boxes[of_class], self.size)


@dataclass(frozen=True)
class Pair:
    """One question of the pointing game: where is class `label` in this picture?"""

    label: int
    difficult: bool


def pairs(sample: Sample) -> Iterator[Pair]:
    """The pairs of a picture in ascending class order: classes with at least one unflagged object.

    `difficult` is the subset of Zhang et al. (Excitation Backprop, 2016): the class's region is smaller than a
    quarter of the picture, and another class has an unflagged object in it.
    """
    shown = sorted(set(sample.labels[~sample.hard].tolist()))
    width, height = sample.size
    for label in shown:
        # A class alone is never difficult; of masks each is looked at, since an empty one is a fault of the data.
        if len(shown) == 1 and sample.masks is None:
            yield Pair(label, False)
            continue
        small = 4 * sample.region(label).area < width * height
        yield Pair(label, bool(small and len(shown) > 1))
