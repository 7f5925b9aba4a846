"""Samples and their pairs by hand: which boxes are refused, what is difficult, what belongs to a region."""

import numpy as np
import pytest
from PIL import Image

from eval.game.sample import Pair, Sample, pairs


def sample(boxes, labels=None, hard=None, size=(100, 60), **more):
    labels = range(len(boxes)) if labels is None else labels
    hard = [False] * len(boxes) if hard is None else hard
    given = (np.array(boxes, int).reshape(-1, 4), np.array(labels, int), np.array(hard, bool))
    return Sample("key", size, *given, **({"open": lambda: Image.new("RGB", size)} | more))


@pytest.mark.parametrize("box", [(0, 0, 100, 60), (0, 0, 1, 1), (99, 59, 100, 60)])
def test_boxes_may_touch_every_border(box):
    assert sample([box]).boxes.tolist() == [list(box)]


@pytest.mark.parametrize(
    "box", [(-1, 0, 5, 5), (0, -1, 5, 5), (5, 0, 5, 5), (0, 5, 5, 5), (6, 0, 5, 5), (0, 0, 101, 5), (0, 0, 5, 61)]
)
def test_empty_boxes_and_those_that_leave_the_picture_are_refused(box):
    with pytest.raises(ValueError, match=r"key: box .* is empty or leaves the 100 x 60 picture"):
        sample([(0, 0, 1, 1), box])


def test_arrays_of_wrong_kind_or_length_are_refused():
    boxes, labels, hard = np.array([[0, 0, 5, 5]]), np.array([0]), np.array([False])
    for wrong in ((boxes, labels[:0], hard), (boxes, labels, hard[:0]), (boxes[:0], labels, hard)):
        with pytest.raises(ValueError, match="differ in length"):
            Sample("key", (9, 9), *wrong, open=None)
    for name, wrong in (
        ("boxes", (boxes.astype(float), labels, hard)),
        ("labels", (boxes, labels.astype(float), hard)),
        ("hard", (boxes, labels, hard.astype(int))),
        ("hard", (boxes, labels, [False])),
    ):
        with pytest.raises(ValueError, match=f"{name} must be an array"):
            Sample("key", (9, 9), *wrong, open=None)
    assert list(pairs(Sample("key", (9, 9), boxes[:0], labels[:0], hard[:0], open=None))) == []


def test_difficult_is_smaller_than_a_quarter_beside_another_class():
    quarter, below = (0, 0, 50, 30), (0, 0, 49, 30)
    other = (90, 50, 100, 60)
    for boxes, labels, hard, expected in (
        ([quarter, other], [2, 1], [False, False], [Pair(1, True), Pair(2, False)]),
        ([below, other], [2, 1], [False, False], [Pair(1, True), Pair(2, True)]),
        ([below], [2], [False], [Pair(2, False)]),
        ([below, other], [2, 1], [False, True], [Pair(2, False)]),
        ([below, other], [1, 1], [False, False], [Pair(1, False)]),
        ([below, (50, 0, 60, 30), other], [2, 2, 1], [False, True, False], [Pair(1, True), Pair(2, False)]),
    ):
        assert list(pairs(sample(boxes, labels, hard))) == expected


def test_a_region_is_the_union_of_the_boxes_or_masks_of_its_class():
    made = sample([(0, 0, 5, 5), (9, 9, 20, 20), (3, 3, 8, 8)], [1, 0, 1])
    assert made.region(1).boxes.tolist() == [[0, 0, 5, 5], [3, 3, 8, 8]]
    calls = []

    def masks(numbers):
        calls.append(numbers.tolist())
        mask = np.zeros((60, 100), bool)
        mask[4, 7] = True
        return mask

    region = sample([(0, 0, 5, 5), (9, 9, 20, 20), (3, 3, 8, 8)], [1, 0, 1], masks=masks).region(1)
    assert calls == [[0, 2]]
    assert (region.area, region.contains(7, 4), region.contains(4, 7)) == (1, True, False)


class Kept:
    """A picture with a header and bytes of its own."""

    def __init__(self, size, digest="0" * 16):
        self.size = size
        self.given = digest

    def __call__(self):
        return Image.new("RGB", self.size)

    def header_size(self):
        return self.size

    def digest(self):
        if isinstance(self.given, Exception):
            raise self.given
        return self.given


def test_pictures_of_another_size_are_refused_decoded_or_not():
    sound, swapped = (sample([(0, 0, 5, 5)], open=Kept(size)) for size in ((100, 60), (60, 100)))
    sound.check_size()
    assert sound.image.size == (100, 60)
    for act in (swapped.check_size, lambda: swapped.image):
        with pytest.raises(ValueError, match="key: the picture is 60 x 100, its annotation says 100 x 60"):
            act()
    sample([(0, 0, 5, 5)]).check_size()  # made, not read: there is no header


def test_the_digest_of_a_file_and_of_none():
    assert sample([(0, 0, 5, 5)], open=Kept((100, 60))).file_digest == "0" * 16
    assert sample([(0, 0, 5, 5)]).file_digest is None
    for error in (FileNotFoundError("gone"), ValueError("none")):
        assert sample([(0, 0, 5, 5)], open=Kept((100, 60), error)).file_digest is None
