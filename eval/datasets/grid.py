"""Grid pointing game (Böhle et al., CVPR 2021; Rao et al., CVPR 2022): mosaics of n x n pictures of different classes,
each with its own cell as the region.

Its score is `energy`, the share of the map's positive mass in the cell: a uniform map gives exactly 1 / n^2.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image

from eval.files.parsed import once
from eval.files.places import ROOT
from eval.game.sample import Sample

REMEDY = "python -m scripts.maintain.make_grid makes such a list"


class Pictures(Protocol):
    """A data set: see eval/datasets/README.md."""

    classes: Sequence[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


@dataclass(frozen=True)
class Mosaic:
    """Opens a mosaic: the pictures of n * n samples row by row, each squashed to side x side pixels."""

    cells: tuple[Sample, ...]
    side: int

    def __call__(self) -> Image.Image:
        """The mosaic."""
        n = round(len(self.cells) ** 0.5)
        canvas = Image.new("RGB", (n * self.side, n * self.side))
        for number, sample in enumerate(self.cells):
            picture = sample.image.convert("RGB")
            if picture.size != (self.side, self.side):
                picture = picture.resize((self.side, self.side), Image.Resampling.BILINEAR)
            canvas.paste(picture, (number % n * self.side, number // n * self.side))
        return canvas

    def digest(self) -> str | None:
        """Of the files of all pictures; None where one has no file."""
        digests = [sample.file_digest for sample in self.cells]
        return None if None in digests else hashlib.sha256("".join(map(str, digests)).encode()).hexdigest()[:16]


class Grid:
    """The mosaics of a list, as a sized, indexable data set.

    list: a JSON file of `scripts.maintain.make_grid`, relative to this checkout. pictures: the data set whose
    pictures the list names by key. A key of a mosaic holds a digest of what is in it, so rows of another list never
    pass for its own. ValueError names a list that is none, a picture or class that they lack, or a class that is
    twice in a mosaic.
    """

    def __init__(self, list: str, pictures: Pictures):
        path = Path(list).expanduser()
        path = path if path.is_absolute() else ROOT / path
        try:
            content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
            self.n, self.side, mosaics = int(content["n"]), int(content["side"]), content["mosaics"]
            if self.n < 2 or self.side < 1 or any(len(cells) != self.n**2 for cells in mosaics):
                raise ValueError(f"its mosaics do not have {self.n} x {self.n} cells")
        except FileNotFoundError:
            raise FileNotFoundError(f"there is no list of mosaics {path}; {REMEDY}") from None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is no list of mosaics: {error!r}; {REMEDY}") from None
        self.classes = tuple(pictures.classes)
        named = {key for cells in mosaics for key, _ in cells}
        samples = {}
        for index in range(len(pictures)):
            if (sample := pictures[index]).key in named:
                samples[sample.key] = sample
            if len(samples) == len(named):
                break
        if lost := named - samples.keys():
            raise ValueError(
                f"{path} names {len(lost)} pictures that the data set lacks, {min(lost)} among them; {REMEDY}"
            )
        self.mosaics = [self._checked(cells, samples, path) for cells in mosaics]

    def _checked(self, cells: Sequence, samples: dict[str, Sample], path: Path) -> list[tuple[Sample, int]]:
        labels = [name for _, name in cells]
        if len(set(labels)) < len(labels):
            raise ValueError(f"{path}: a mosaic has {max(labels, key=labels.count)!r} twice")
        pairs = []
        for key, name in cells:
            label = self.classes.index(name) if name in self.classes else -1
            if label not in samples[key].labels[~samples[key].hard]:
                raise ValueError(f"{path}: picture {key} does not show {name!r}")
            pairs.append((samples[key], label))
        return pairs

    def __len__(self) -> int:
        return len(self.mosaics)

    def __getitem__(self, index: int) -> Sample:
        cells = self.mosaics[index]
        labels = np.array([label for _, label in cells])
        what = json.dumps([[sample.key, int(label)] for sample, label in cells] + [self.side])
        corners = [(i % self.n * self.side, i // self.n * self.side) for i in range(len(cells))]
        return Sample(
            key=f"{self.n}x{self.n}-{index:04d}-{hashlib.sha256(what.encode()).hexdigest()[:8]}",
            size=(self.n * self.side, self.n * self.side),
            boxes=np.array([(x, y, x + self.side, y + self.side) for x, y in corners]),
            labels=labels,
            hard=np.zeros(len(cells), bool),
            open=Mosaic(tuple(sample for sample, _ in cells), self.side),
        )
