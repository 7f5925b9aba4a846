"""The built-in data set: pictures made from a seed, for trying the suite without a download.

Scenes of one to five lit and textured objects of one to three of 20 classes between clutter, with exact boxes. Every
picture depends on (seed, split, index) alone, not on the order in which pictures are made, the process or the platform;
the floating-point arithmetic of another platform may move a colour by one of 256 levels, never a box.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

import numpy as np
from PIL import Image

from eval.datasets.demo.render import render
from eval.datasets.demo.scene import CLASSES, Scene, compose
from eval.game.sample import Sample

COUNTS = {"train": 6000, "val": 340, "test": 340}


@dataclass(frozen=True)
class Demo:
    """Sequence of Samples. split: train, val or test. count: pictures, None for COUNTS[split]; a smaller count is a
    prefix of a larger one. side: width and height of the pictures in pixels. seed: another seed is another data set.

    Small (below 1/60 of the picture) or mostly hidden objects are flagged hard, as VOC flags its difficult ones.
    """

    version: ClassVar[int] = 1

    split: str = "test"
    count: int | None = None
    seed: int = 0
    side: int = 224

    def __post_init__(self) -> None:
        if self.split not in COUNTS:
            raise ValueError(f"The built-in data has the splits {', '.join(COUNTS)}, not {self.split!r}")
        if self.count is not None and self.count < 1:
            raise ValueError(f"The built-in data needs a count of at least 1 picture, not {self.count}")
        if not 32 <= self.side <= 2048:
            raise ValueError(f"The built-in data's side is 32 to 2048 pixels, not {self.side}")
        if self.seed < 0:
            raise ValueError(f"The built-in data's seed is at least 0, not {self.seed}")

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes, in the order of labels."""
        return CLASSES

    def __len__(self) -> int:
        return COUNTS[self.split] if self.count is None else self.count

    def __getitem__(self, index: int) -> Sample:
        if not -len(self) <= index < len(self):
            raise IndexError(f"The built-in data has {len(self)} pictures; there is no number {index}")
        index = int(index) % len(self)
        scene = self.scene(index)
        objects = scene.objects()
        return Sample(
            key=f"{self.split}-{self.seed}-{index:06d}" if self.seed else f"{self.split}-{index:06d}",
            size=(self.side, self.side),
            boxes=np.array([scene.items[i].box for i in objects]).reshape(-1, 4),
            labels=np.array([scene.items[i].label for i in objects], dtype=int),
            hard=np.array([scene.hard(i) for i in objects], dtype=bool),
            open=partial(self.picture, index),
        )

    def __iter__(self) -> Iterator[Sample]:
        return (self[index] for index in range(len(self)))

    def scene(self, index: int) -> Scene:
        """What is where in picture `index`."""
        return _scene(self, index)

    def picture(self, index: int) -> Image.Image:
        """Picture `index`, RGB."""
        return Image.fromarray(render(self.generator(index, 1), self.scene(index)))

    def generator(self, index: int, stage: int) -> np.random.Generator:
        """The source of randomness of picture `index`: stage 0 lays the scene out, 1 paints it."""
        return np.random.Generator(np.random.PCG64([self.seed, list(COUNTS).index(self.split), index, stage]))


# A sample's boxes and its picture come from one scene, usually soon after each other.
@lru_cache(maxsize=16)
def _scene(dataset: Demo, index: int) -> Scene:
    return compose(dataset.generator(index, 0), dataset.side)
