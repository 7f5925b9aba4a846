"""Every field of a row at the borders of its range, with each wrong type, missing, and unknown."""

import math

import pytest

from eval.records.schema import FIELDS, SCHEMA, TIMING, check
from tests.synthetic_runs import OF_MAPS, rows

ROW = rows(1, 1.0)[0]
GOOD = {
    "key": ["a", "ä/b c"],
    "difficult": [True, False],
    "picture": ["0" * 16, None],
    "width": [1, 10**6],
    "height": [1],
    "area": [0, 0.0, 1, 1.0, 0.5],
    "x": [-3.5, 0, 1e9],
    "y": [-3.5, 0, 1e9],
    "ties": [1, 5],
    "distance": [0, 0.0, 3.25],
    "energy": [None, 0, 1, 0.5],
    "cover5": [None, 0, 1],
    "cover10": [None, 0, 1],
    "cover20": [None, 0, 1],
    **{name: [None, 0, 1, 0.5] for name in OF_MAPS},
    "score": [None, -8.5, 3],
    "rank": [None, 0, 999],
    "seconds": [0, 1.5],
    "forwards": [0, 0.5],
    "memory_mb": [None, 0, 12.5],
}
BAD = {
    "key": ["", None, 5],
    "label": ["", None, True],
    "difficult": [None, 0, 1, "false"],
    "region": ["", None],
    "picture": ["", 7],
    "width": [0, 1.0, "1", None, True],
    "height": [0, 2.5],
    "area": [-1e-9, 1.0000001, None, "0.5", True, math.nan],
    "x": [None, math.nan, math.inf, "3"],
    "y": [None, -math.inf],
    "ties": [0, None, 1.0],
    "constant": [None, 0, "no"],
    "inside": [None, 0, "false"],
    "distance": [-1e-9, None, math.inf],
    "energy": [-1e-9, 1.0000001, math.nan],
    "cover5": [-0.1, 1.1],
    "cover10": [-0.1, 1.1],
    "cover20": [-0.1, 1.1],
    **{name: [-0.1, 1.1, math.nan, "1"] for name in OF_MAPS},
    "score": [math.nan, math.inf, "1"],
    "rank": [-1, 1.0],
    "seconds": [-0.1, None],
    "forwards": [-0.1, None],
    "memory_mb": [-0.1, False],
}


def test_a_sound_row_passes():
    assert ROW.keys() == FIELDS.keys()
    check([ROW, ROW], "run")
    check([], "run")


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_values_at_the_border_pass(name, value):
    check([ROW | {name: value}], "run")


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_values_beyond_are_refused_by_picture_and_field(name, value):
    with pytest.raises(ValueError, match=rf"^run: the row of picture .* as {name} \(.*evaluate again"):
        check([ROW, ROW | {name: value}], "run")


def test_every_field_is_tried():
    assert BAD.keys() == FIELDS.keys()
    assert SCHEMA >= 2
    assert set(TIMING) == {"seconds", "memory_mb"}


def test_lost_and_unknown_fields_are_named():
    for name in FIELDS:
        with pytest.raises(ValueError, match=f"has no field '{name}'"):
            check([{key: value for key, value in ROW.items() if key != name}], "run")
    with pytest.raises(ValueError, match="has a field 'insde' that no row has"):
        check([ROW | {"insde": True}], "run")


def test_long_names_are_cut_in_the_message():
    with pytest.raises(ValueError, match="class 'class") as error:
        check([ROW | {"key": "k" * 500, "x": None}], "run")
    assert "k" * 80 in str(error.value)
    assert "k" * 81 not in str(error.value)
