"""Where things lie in a built-in picture: which objects, how large, turned and hidden how far. No colours yet.

A scene is made without painting a pixel, so boxes cost about two milliseconds, and everything that only needs
boxes (the image-centre baseline, the count of pairs) is done before the first picture is rendered.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.random import Generator

from eval.datasets.demo.silhouettes import LETTERS, PICTOGRAPHS, Coverage, Silhouette, pictograph, rasterise

CLASSES = tuple(PICTOGRAPHS)
SMALLEST, LARGEST = 1 / 60, 1 / 2  # area of an unflagged object's box, as a share of the picture
MEDIUM = 1 / 14  # the least that the first object of a class is given; others may hide a part of it
HIDDEN = 0.5  # an object of which less than this share shows is flagged hard
LOST = 0.2  # and below this share it is taken out of the scene


@dataclass(frozen=True)
class Item:
    """One thing in a scene. label: class index, -1 for clutter. coverage: its pixels, hidden ones included.
    box: x0 y0 x1 y1 of its visible pixels, integers, end exclusive. visible: share of its pixels that shows."""

    label: int
    coverage: Coverage
    box: tuple[int, int, int, int] = (0, 0, 0, 0)
    visible: float = 1.0


@dataclass(frozen=True)
class Scene:
    """items: back to front. owner: (side,side) int8, index of the item that one sees at each pixel, -1 for ground."""

    side: int
    items: tuple[Item, ...]
    owner: np.ndarray

    def objects(self) -> list[int]:
        """The numbers of the items that are objects."""
        return [i for i, item in enumerate(self.items) if item.label >= 0]

    def hard(self, i: int) -> bool:
        """Whether an annotator would call the object difficult: smaller than SMALLEST, or mostly hidden."""
        x0, y0, x1, y1 = self.items[i].box
        return (x1 - x0) * (y1 - y0) < SMALLEST * self.side**2 or self.items[i].visible < HIDDEN


def compose(rng: np.random.Generator, side: int) -> Scene:
    """A random scene: one to five objects of one to three classes between, before and behind clutter."""
    objects = _objects(rng, side)
    behind = [_clutter(rng, side, 1 / 300, 1 / 20) for _ in range(int(rng.integers(1, 8)))]
    before = [_clutter(rng, side, 1 / 400, 1 / 60) for _ in range(int(rng.integers(0, 4)))]
    items = [item for item in (*behind, *objects, *before) if item is not None]
    while True:
        scene = _seen(items, side)
        lost = [i for i in scene.objects() if scene.items[i].visible < LOST]
        if not lost:
            return scene
        items = [item for i, item in enumerate(items) if i not in lost]


def _objects(rng: Generator, side: int) -> list[Item]:
    classes = rng.permutation(len(CLASSES))[: int(rng.choice(3, p=(0.35, 0.40, 0.25))) + 1]
    count = int(rng.integers(len(classes), 6)) if len(classes) > 1 else int(rng.choice((1, 2, 3), p=(0.6, 0.3, 0.1)))
    labels = [*classes, *rng.choice(classes, count - len(classes))]
    # The first object is the subject of the picture: larger, and nearer to the centre than the others. Every class has
    # one that is not small, as far things seldom stand alone; the further ones of a class may be of any size.
    areas = [rng.uniform(0.08, 0.97 * LARGEST)]
    areas += [MEDIUM * (0.35 / MEDIUM) ** rng.random() for _ in classes[1:]]
    areas += [
        SMALLEST * 1.1 * (0.32 / SMALLEST) ** rng.random() if rng.random() > 0.08 else rng.uniform(0.6, 1) * SMALLEST
        for _ in labels[len(classes) :]
    ]
    shares = np.array(areas) * min(1, 0.9 / sum(areas))
    placed: list[tuple[Item, tuple]] = []
    for number, (label, area) in enumerate(zip(labels, shares, strict=True)):
        thing = _place(
            rng, int(label), area, side, [bounds for _, bounds in placed], spread=0.22 if number == 0 else 0.5
        )
        if thing is not None:
            placed.append(thing)
    # Far things are small: draw the large ones last, but now and then swap, so that anything may hide anything.
    depth = [(x1 - x0) * (y1 - y0) * rng.uniform(0.3, 1.7) for _, (x0, y0, x1, y1) in placed]
    return [placed[i][0] for i in np.argsort(depth, kind="stable")]


def _place(
    rng: Generator, label: int, area: float, side: int, taken: list[tuple], spread: float
) -> tuple[Item, tuple] | None:
    """One object whose box has the given share of the picture, at a place that leaves the others in sight, or None."""
    shape = _posed(rng, pictograph(*PICTOGRAPHS[CLASSES[label]]), turn=np.pi / 5)
    x0, y0, x1, y1 = shape.bounds()
    w, h = x1 - x0, y1 - y0
    scale = min(side * np.sqrt(area / (w * h)), 0.97 * side / max(w, h))
    w, h = w * scale, h * scale
    outside = 0.2 if rng.random() < 0.15 else 0.0  # some objects are cut by the picture's border
    allowed = 0.3 if rng.random() < 0.3 else 0.08
    for _ in range(25):
        x, y = (
            np.clip(side * (0.5 + spread * rng.uniform(-1, 1)), (0.5 - outside) * size, side - (0.5 - outside) * size)
            for size in (w, h)
        )
        bounds = (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        if all(_overlap(bounds, other) < allowed for other in taken):
            coverage = rasterise(shape.transformed(np.eye(2) * scale, np.array((x, y))), side)
            assert coverage is not None, "the centre lies in the picture"
            return Item(label, coverage), bounds
    return None


def _overlap(a: tuple, b: tuple) -> float:
    """Area common to two boxes x0 y0 x1 y1 over the area of the smaller one."""
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    smaller = min((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return max(w, 0) * max(h, 0) / smaller


def _posed(rng: Generator, shape: Silhouette, turn: float) -> Silhouette:
    """Mirrored or not, squeezed, slanted and turned by up to `turn` radians."""
    flip = rng.choice((-1.0, 1.0))
    squeeze = np.exp(rng.uniform(-0.2, 0.2))
    form = np.array(((flip * squeeze, rng.uniform(-0.12, 0.12)), (0, 1 / squeeze)))
    angle = turn * rng.uniform(-1, 1)
    turned = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle)))) @ form
    shape = shape.transformed(turned, np.zeros(2))
    x0, y0, x1, y1 = shape.bounds()
    return shape.transformed(np.eye(2), np.array((-(x0 + x1) / 2, -(y0 + y1) / 2)))


def _clutter(rng: Generator, side: int, smallest: float, largest: float) -> Item | None:
    """A pebble, leaf, stick, shard or letter; its box's area lies between two shares of the picture."""
    kind = rng.choice(("blob", "blob", "leaf", "stick", "shard", "letter"))
    shape = _posed(rng, _thing(rng, str(kind)), turn=np.pi)
    x0, y0, x1, y1 = shape.bounds()
    area = smallest * (largest / smallest) ** rng.random()
    scale = side * np.sqrt(area / ((x1 - x0) * (y1 - y0)))
    scale = min(scale, 0.5 * side / max(x1 - x0, y1 - y0))
    coverage = rasterise(shape.transformed(np.eye(2) * scale, rng.uniform(0, side, 2)), side)
    return None if coverage is None else Item(-1, coverage)


def _thing(rng: Generator, kind: str) -> Silhouette:
    if kind == "letter":
        return pictograph(ord(LETTERS[int(rng.integers(len(LETTERS)))]), "open")
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    if kind == "shard":
        angle = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 6))) + np.array(0.01))
    radius = np.ones_like(angle)
    if kind == "blob":
        for wave in range(2, 6):
            radius += rng.uniform(-0.4, 0.4) / wave * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    width = {"leaf": 0.45, "stick": 0.12}.get(kind, 1.0)
    x, y = np.cos(angle) * radius, np.sin(angle) * radius * width
    if kind == "leaf":
        y = y * (1 - np.cos(angle) * 0.6)
    return Silhouette(np.stack((x, y), 1) / 2, (len(x),))


def _seen(items: list[Item], side: int) -> Scene:
    """Work out who hides whom: a pixel belongs to the frontmost item that covers more than half of it."""
    owner = np.full((side, side), -1, np.int8)
    for i, item in enumerate(items):
        owner[item.coverage.window][item.coverage.body > 0.5] = i
    seen = []
    for i, item in enumerate(items):
        # An object cut by the border counts as seen as far as it lies in the picture, as in annotated photographs.
        mine = owner[item.coverage.window] == i
        total = int((item.coverage.body > 0.5).sum())
        rows, columns = np.flatnonzero(mine.any(1)), np.flatnonzero(mine.any(0))
        if len(rows) == 0:
            seen.append(replace(item, visible=0.0))
            continue
        x, y = item.coverage.x, item.coverage.y
        box = (int(x + columns[0]), int(y + rows[0]), int(x + columns[-1] + 1), int(y + rows[-1] + 1))
        seen.append(replace(item, box=box, visible=mine.sum() / total))
    return Scene(side, tuple(seen), owner)
