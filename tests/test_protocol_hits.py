"""The hit rule on rows, at the borders where a comparison turned round would show."""

import numpy as np
import pytest

from eval.game.protocol import Input, Protocol

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
