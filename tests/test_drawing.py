"""What a drawing shows: each box where it is, the point where it is, the colour and the word of hit and miss."""

from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from eval.running.drawing import BOX, HIT, MISS, Cell, Row, draw

BOXES = np.array([[10, 5, 40, 15], [0, 0, 60, 30]])


@pytest.fixture
def drawn(tmp_path, monkeypatch):
    """The axes of a drawing of one picture, 60 x 30, and three methods: a hit, a miss, and a point without a map."""
    kept: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, path: Path, **settings):
        kept.append(figure)
        save(figure, path, **settings)

    monkeypatch.setattr(Figure, "savefig", savefig)
    heat = np.zeros((30, 60))
    heat[7, 20] = 3.0
    heat[29, 59] = -1.0
    cells = [Cell(heat, (20, 7), True), Cell(np.full((30, 60), 2.0), (0, 0), False), Cell(None, (59, 29), False)]
    image = np.full((30, 60, 3), 90, np.uint8)
    draw([Row("a dog", image, BOXES, cells)], ["ours", "flat", "blind"], tmp_path / "new" / "picture.png")
    assert (tmp_path / "new" / "picture.png").stat().st_size > 1000
    return kept[0].axes


def test_every_axis_outlines_every_box_on_its_pixels(drawn):
    assert len(drawn) == 4
    for axis in drawn:
        outlines = [patch for patch in axis.patches if to_hex(patch.get_edgecolor()) == BOX.lower()]
        # Pixel i is drawn from i - 1/2 to i + 1/2, so a box's end, which is exclusive, lies half a pixel before it.
        corners = [patch.get_bbox().extents.tolist() for patch in outlines]
        assert corners == [[9.5, 4.5, 39.5, 14.5], [-0.5, -0.5, 59.5, 29.5]]
        assert not any(patch.get_fill() for patch in outlines)


def test_hit_and_miss_differ_in_word_mark_and_colour(drawn):
    assert HIT != MISS
    for axis, point, word, colour in zip(
        drawn[1:], [(20, 7), (0, 0), (59, 29)], ["✓ hit", "✗ miss", "✗ miss"], [HIT, MISS, MISS], strict=True
    ):
        assert axis.get_title() == word
        assert to_hex(axis.title.get_color()) == colour.lower()
        below, above = axis.lines
        assert [tuple(line.get_xydata()[0]) for line in (below, above)] == [point, point]
        assert to_hex(above.get_markeredgecolor()) == colour.lower()
        assert below.get_markeredgewidth() > above.get_markeredgewidth(), "the white rim shows around the mark"


def test_maps_span_the_colours_and_cover_the_picture(drawn):
    assert [len(axis.images) for axis in drawn] == [1, 2, 2, 1]
    ours, flat = (np.asarray(axis.images[1].get_array()) for axis in drawn[1:3])
    assert (ours.min(), ours.max(), ours[7, 20]) == (0, 1, 1)
    assert ours[0, 0] == pytest.approx(0.25)
    assert (flat == 0).all()
    for axis in drawn[1:]:
        assert (axis.get_xlim(), axis.get_ylim()) == ((-0.5, 59.5), (29.5, -0.5))
    assert drawn[0].get_title() == "a dog"
    assert [text.get_text() for axis in drawn for text in axis.texts] == ["ours", "flat", "blind"]
