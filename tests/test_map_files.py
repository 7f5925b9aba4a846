"""Files of kept and ready-made heat maps: both sides of the wall know one place a pair, and no digit is lost."""

import itertools
import string

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from baselines.maps import Maps
from eval.records import maps


def places(key, labels, root):
    """Where both sides of the contract look for a picture's maps."""
    reader = Maps(root, labels)
    kept = [maps.path(root.parent, key, label) for label in labels]
    return [reader.path(key, number) for number in range(len(labels))], kept


LABELS = ["".join(c) for n in (1, 2, 3) for c in itertools.product("a/_%2F. ", repeat=n)]


def test_every_class_has_a_map_file_of_its_own_and_both_sides_know_it(tmp_path):
    root = tmp_path / "maps"
    root.mkdir()
    read, kept = places("key", LABELS, root)
    assert read == kept
    assert len(set(read)) == len(LABELS)
    assert {path.parent for path in read} == {root / "key"}


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), st.sampled_from(["a", "b/c", "7"]))
def test_both_sides_agree_on_any_class(tmp_path_factory, label, key):
    root = tmp_path_factory.getbasetemp() / "maps"
    root.mkdir(exist_ok=True)
    read, kept = places(key, [label], root)
    assert read == kept
    assert kept[0].parent == root / key


@pytest.mark.parametrize("key", ["", ".", "..", "a//b", "a/./b", "./a", "a/", "/a", "a/../b", "a\0b"])
def test_a_key_that_is_no_place_of_its_own(tmp_path, key):
    with pytest.raises(ValueError, match="the picture key"):
        maps.path(tmp_path, key, "cat")
    with pytest.raises(ValueError, match="the picture key"):
        Maps(tmp_path, ["cat"]).path(key, 0)


@pytest.mark.parametrize("dtype", ["<f8", ">f8"])
def test_maps_in_double_precision_keep_their_highest_point(tmp_path, dtype):
    """In single precision all three would be constant."""
    (tmp_path / "p").mkdir()
    for background, peak in ((0, 1e-60), (1 - 1e-9, 1 - 1e-12), (1000, 1000.00001)):
        grid = np.full((4, 5), background, dtype)
        grid[2, 3] = peak
        np.save(tmp_path / "p" / "cat.npy", grid)
        actual = Maps(tmp_path, ["cat"])(type("Sample", (), {"key": "p"}), torch.tensor([0]))
        assert actual.dtype == torch.float64
        assert int(actual.argmax()) == 2 * 5 + 3
        assert float(actual.max()) == peak


def test_a_map_file_that_claims_more_than_it_holds_takes_no_memory(tmp_path):
    (tmp_path / "p").mkdir()
    path = tmp_path / "p" / "cat.npy"
    np.save(path, np.zeros((10, 10)))
    header = path.read_bytes()[:128].replace(b"(10, 10), }        ", b"(99999, 99999), }  ")
    path.write_bytes(header + bytes(800))
    with pytest.raises(ValueError, match=r"cat\.npy is not a readable"):
        Maps(tmp_path, ["cat"])(type("Sample", (), {"key": "p"}), torch.tensor([0]))


def test_letters_are_left_alone():
    assert maps.escaped(string.ascii_letters + "é 日本_-.") == string.ascii_letters + "é 日本_-."
