"""Protocols: the hit rule at its borders, what the network sees, names and labels."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from eval.game.protocol import Input, Protocol, named_protocol

INSIDE = [True, False, False, False, True]
DISTANCE = [0.0, np.nextafter(15, 0), 15.0, np.nextafter(15, 16), 0.0]
CONSTANT = [False, False, False, False, True]


@pytest.mark.parametrize(
    ("hit", "tolerance", "expected"),
    [
        ("inside", 15.0, [True, False, False, False, False]),
        ("tolerance", 15.0, [True, True, False, False, False]),
        ("tolerance", 16.0, [True, True, True, True, False]),
        ("tolerance", 0.0, [False] * 5),
    ],
)
def test_less_than_the_tolerance_is_a_hit_and_a_constant_map_never(hit, tolerance, expected):
    protocol = Protocol("p", Input(), hit, tolerance)
    assert protocol.hits(INSIDE, DISTANCE, CONSTANT).tolist() == expected


def test_settings_that_cannot_be_meant():
    for settings in ({"hit": "near"}, {"average": "picture"}):
        with pytest.raises(ValueError, match=f"protocol.{next(iter(settings))} must be"):
            Protocol("p", Input(), **settings)
    for settings in ({"mode": "crop"}, {"side": 0}):
        with pytest.raises(ValueError, match=f"input.{next(iter(settings))} must be"):
            Input(**settings)
    assert Input(side=1).size(7, 9) == (1, 1)
    assert Input("shorter_side", 224).size(500, 375) == (298, 224)  # 298.67, floored
    assert Input("shorter_side", 1).size(3, 9) == (1, 3)


def test_the_network_sees_the_picture_at_the_size_and_with_the_filter_of_the_protocol():
    """Against numpy: a squashed picture averages when it shrinks, TorchRay's takes the two nearest pixels."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 12, 3), np.uint8))
    values = np.asarray(picture).astype(float) / 255
    squashed = Input(side=3).pixels(picture)
    assert tuple(squashed.shape) == (3, 3, 3)
    # The triangle filter of width 2 * 4 around column 5.5 and of width 2 * 2 around row 2.5.
    across, down = (np.maximum(0, 1 - np.abs(np.arange(n) - c) / s) for n, c, s in ((12, 5.5, 4), (6, 2.5, 2)))
    mean = np.einsum("h,w,hwc->c", down / down.sum(), across / across.sum(), values)
    assert squashed[:, 1, 1].numpy() == pytest.approx(mean, abs=1e-5)
    plain = Input("shorter_side", 3, antialias=False).pixels(picture)
    assert tuple(plain.shape) == (3, 3, 6)
    assert plain[:, 0, 0].numpy() == pytest.approx(values[:2, :2].mean((0, 1)), abs=1e-6)
    same = Input("shorter_side", 6).pixels(picture)
    assert same.permute(1, 2, 0).numpy() == pytest.approx(values, abs=1e-7)
    grey = Input(side=6).pixels(picture.convert("L"))
    assert (grey[0] == grey[2]).all()


def test_a_methods_own_input_and_unknown_settings():
    whole = Input("shorter_side", 100, False, True, 0.5)
    assert whole.of_method(None) == whole.of_method({}) == whole
    assert whole.of_method({"mode": "squash", "side": 7, "antialias": True}) == Input("squash", 7, True, True, 0.5)
    with pytest.raises(ValueError, match="has no setting spatial;"):
        whole.of_method({"spatial": False, "side": 3})
    for settings in ({"name": "p", "hits": "inside"}, {"name": "p", "input": {"size": 3}}):
        with pytest.raises(ValueError, match=r"unknown protocol.*known are"):
            Protocol.from_settings(settings)
    made = Protocol.from_settings({"name": "p", "input": {"side": 9}, "average": "class"})
    assert (made.input.side, made.average, made.hit, made.tolerance) == (9, "class", "inside", 15.0)


def test_a_label_says_how_rules_differ_from_the_named_ones():
    known = {name: named_protocol(name) for name in ("paper", "authors", "torchray")}
    assert [each.label for each in known.values()] == list(known)
    assert replace(known["paper"], tolerance=30.0).label == "paper", "no tolerance decides there"
    assert replace(known["authors"], tolerance=30.0).label == "authors [tolerance=30]"
    assert replace(known["authors"], average="class", tolerance=2.5).label == "authors [tolerance=2.5, average=class]"
    smooth = replace(known["torchray"], input=replace(known["torchray"].input, side=96, smooth=0.5))
    assert smooth.label == "torchray [input.side=96, input.smooth=0.5]"
    assert Protocol("mine", Input()).label == "mine"
    with pytest.raises(FileNotFoundError, match=r"no protocol 'papr'; near names: paper"):
        named_protocol("papr")
