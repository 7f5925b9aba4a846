"""The built-in data set: the same everywhere, boxes that fit, sizes and shares as promised."""

import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from eval.datasets.demo import COUNTS, Demo
from eval.datasets.demo.scene import CLASSES, LARGEST, SMALLEST
from eval.datasets.demo.silhouettes import PICTOGRAPHS, pictograph, rasterise
from eval.game.sample import pairs

ROOT = Path(__file__).parents[1]
PINNED_BOXES = [
    [("skull", 31, 160, 77, 217), ("skull", 1, 26, 159, 165)],
    [("cat", 103, 7, 168, 72), ("flag", 68, 106, 138, 205)],
    [("cat", 200, 182, 224, 212), ("cat", 16, 87, 55, 122), ("cat", 63, 124, 130, 188)],
]
# Means of the quarters, RGB.
PINNED_COLOURS = [
    [166, 185, 82, 152, 190, 166, 90, 110, 96, 70, 93, 147],
    [120, 103, 95, 150, 127, 113, 134, 108, 98, 139, 117, 107],
    [210, 235, 204, 204, 220, 208, 174, 202, 160, 160, 187, 154],
]


@pytest.fixture(scope="module")
def samples():
    return list(Demo("test", count=120))


def test_a_picture_depends_on_its_index_alone():
    data = Demo("test", count=8)
    forwards = [np.asarray(sample.image) for sample in data]
    backwards = [np.asarray(data[i].image) for i in reversed(range(8))][::-1]
    assert all(np.array_equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    longer = Demo("test", count=50)
    assert np.array_equal(np.asarray(longer[7].image), forwards[7])
    assert longer[7].key == data[7].key == data[-1].key


def test_another_process_makes_the_same_picture():
    sample = pickle.loads(pickle.dumps(Demo("val", count=4)[3]))
    code = "import sys; from eval.datasets.demo import Demo; sys.stdout.buffer.write(Demo('val')[3].image.tobytes())"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, check=True).stdout
    assert other == sample.image.tobytes()


@pytest.mark.parametrize("other", [Demo("val"), Demo("train"), Demo("test", seed=1)])
def test_splits_and_seeds_differ(other):
    assert not np.array_equal(np.asarray(Demo("test")[0].image), np.asarray(other[0].image))
    assert Demo("test")[0].key != other[0].key


def test_contents_are_pinned():
    """The committed networks and every number in the documents belong to exactly these scenes."""
    data = Demo("test", count=3)
    boxes = [[(CLASSES[label], *box) for label, box in zip(s.labels, s.boxes.tolist(), strict=True)] for s in data]
    assert boxes == PINNED_BOXES
    coarse = [cv2.resize(np.asarray(s.image), (2, 2), interpolation=cv2.INTER_AREA).reshape(-1).tolist() for s in data]
    np.testing.assert_allclose(coarse, PINNED_COLOURS, atol=2)


def test_boxes_are_those_of_the_visible_pixels():
    data = Demo("test", count=30)
    for index, sample in enumerate(data):
        scene = data.scene(index)
        for item, box, label in zip(scene.objects(), sample.boxes, sample.labels, strict=True):
            y, x = np.nonzero(scene.owner == item)
            assert tuple(box) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
            assert scene.items[item].label == label


def test_objects_stand_out_from_what_is_behind_them():
    """If the painter put an object elsewhere than the boxes say, the picture would not change at its outline."""
    data, steps = Demo("test", count=20), []
    for index, sample in enumerate(data):
        scene, picture = data.scene(index), np.asarray(sample.image).astype(np.float32)
        for item in scene.objects():
            mask = (scene.owner == item).astype(np.uint8)
            inner = cv2.erode(mask, np.ones((3, 3))) > 0
            rim = (cv2.dilate(mask, np.ones((5, 5))) > 0) & (mask == 0)
            if inner.any() and rim.any():
                steps.append(np.abs(picture[inner].mean(0) - picture[rim].mean(0)).max())
    assert np.median(steps) > 35
    assert np.mean(np.array(steps) > 10) > 0.9


def test_sizes_and_shares(samples):
    side = samples[0].size[0]
    area = np.concatenate([np.prod(s.boxes[:, 2:] - s.boxes[:, :2], 1) / side**2 for s in samples])
    hard = np.concatenate([s.hard for s in samples])
    assert area[~hard].min() >= SMALLEST
    assert area.max() <= LARGEST
    assert {len(s.labels) for s in samples} == {1, 2, 3, 4, 5}
    assert {len(set(s.labels.tolist())) for s in samples} == {1, 2, 3}
    assert 0.01 < hard.mean() < 0.15
    classes = [pair for s in samples for pair in pairs(s)]
    assert len(classes) > 1.5 * len(samples)
    assert 0.4 < np.mean([pair.difficult for pair in classes]) < 0.55
    assert {pair.label for pair in classes} == set(range(20))


def test_twenty_distinct_silhouettes():
    masks = []
    for code, style in PICTOGRAPHS.values():
        shape = pictograph(code, style)
        masks.append(rasterise(shape.transformed(np.eye(2) * 60, np.array((32.0, 32.0))), 64))
    canvases = np.zeros((20, 64, 64), bool)
    for canvas, cover in zip(canvases, masks, strict=True):
        canvas[cover.window] = cover.body > 0.5
    assert canvases.mean((1, 2)).min() > 0.05
    for i in range(20):
        for j in range(i):
            assert (canvases[i] & canvases[j]).sum() / (canvases[i] | canvases[j]).sum() < 0.85, (i, j)
    missing = pictograph(0x10FFFD)  # a character no font has: the font's box for the unknown
    assert all(pictograph(code).points.shape != missing.points.shape for code, _ in PICTOGRAPHS.values())


def test_coverage_against_pillow():
    shape = pictograph(*PICTOGRAPHS["star"]).transformed(
        np.array(((70.0, -20.0), (20.0, 70.0))), np.array((40.0, 60.0))
    )
    cover = rasterise(shape, 100)
    ours = np.zeros((100, 100))
    ours[cover.window] = cover.body
    canvas = Image.new("L", (800, 800))
    ImageDraw.Draw(canvas).polygon([tuple(8 * p) for p in shape.points], fill=255)
    theirs = np.asarray(canvas, float).reshape(100, 8, 100, 8).mean((1, 3)) / 255
    assert np.abs(ours - theirs).mean() < 0.005
    assert np.abs(ours - theirs).max() < 0.4


def test_outside_the_picture_is_nothing():
    shape = pictograph(*PICTOGRAPHS["star"])
    assert rasterise(shape.transformed(np.eye(2) * 20, np.array((-30.0, 10.0))), 64) is None


@pytest.mark.parametrize(
    ("settings", "named"), [({"split": "tset"}, "tset"), ({"count": 0}, "0"), ({"side": 8}, "8"), ({"seed": -1}, "-1")]
)
def test_wrong_settings_are_named(settings, named):
    with pytest.raises(ValueError, match=named):
        Demo(**settings)


def test_it_is_a_sequence():
    data = Demo("test", count=5)
    assert len(data) == 5
    assert len(list(data)) == 5
    assert len(Demo("train")) == COUNTS["train"]
    with pytest.raises(IndexError):
        data[5]


def test_other_sides():
    sample = Demo("test", side=96)[0]
    assert sample.size == (96, 96) == sample.image.size
