"""Methods that see neither pixels nor network: centre, random point, ready-made maps."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from baselines.maps import Maps, MissingMap
from baselines.simple import Center, Random

CLASSES = ("cat", "hair drier", "tv/monitor")


def sample(key="000012", size=(101, 50)):
    return SimpleNamespace(key=key, size=size)


def test_the_centre_is_not_rounded():
    points = Center()(sample(), torch.tensor([4, 9, 1]))
    assert points.tolist() == [[50.5, 25.0]] * 3


def test_random_points_follow_the_seed_and_the_class_alone():
    def drawn(targets, seed=0):
        torch.manual_seed(seed)
        return Random()(sample(), torch.tensor(targets)).tolist()

    both = drawn([3, 17])
    assert both[0] != both[1]
    assert drawn([17, 3]) == both[::-1]
    assert drawn([17]) == both[1:]
    assert drawn([3, 17], seed=1) != both


def test_random_points_fill_the_picture_evenly():
    torch.manual_seed(0)
    points = Random()(sample(), torch.arange(4000))
    assert (points >= 0).all()
    assert (points < torch.tensor([101.0, 50.0])).all()
    # Mean and deviation of the uniform distribution, within five standard errors.
    expected = torch.tensor([101.0, 50.0], dtype=torch.float64)
    assert ((points.mean(0) - expected / 2).abs() < 5 * expected / 12**0.5 / 4000**0.5).all()
    assert ((points.std(0) / (expected / 12**0.5) - 1).abs() < 0.05).all()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "000012").mkdir()
    for number, name in enumerate(("cat", "hair drier", "tv%2Fmonitor")):
        np.save(tmp_path / "000012" / f"{name}.npy", np.full((2, 3), number + 0.5, np.float16))
    return tmp_path


def test_maps_are_read_by_key_and_class(folder):
    maps = Maps(folder, CLASSES)(sample(), torch.tensor([2, 0]))
    assert maps.dtype == torch.float32
    assert maps.tolist() == [[[2.5] * 3] * 2, [[0.5] * 3] * 2]


def test_a_key_with_slashes_is_a_folder(folder):
    path = folder / "val" / "n01" / "7"
    path.mkdir(parents=True)
    np.save(path / "cat.npy", np.ones((4, 4)))
    assert Maps(folder, CLASSES)(sample("val/n01/7"), torch.tensor([0])).shape == (1, 4, 4)
    with pytest.raises(ValueError, match="leads out of"):
        Maps(folder / "000012", CLASSES)(sample("../000012"), torch.tensor([0]))


def test_missing_maps_are_named(folder):
    (folder / "000012" / "cat.npy").unlink()
    (folder / "000012" / "hair drier.npy").unlink()
    with pytest.raises(MissingMap, match=r"2 heat maps missing: .*cat\.npy, .*hair drier\.npy") as caught:
        Maps(folder, CLASSES)(sample(), torch.tensor([0, 1, 2]))
    assert caught.value.missing == [("000012", "cat"), ("000012", "hair drier")]
    assert isinstance(caught.value, LookupError)
    with pytest.raises(FileNotFoundError, match="no folder of heat maps"):
        Maps(folder / "none", CLASSES)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0, np.nan]]), "not finite"),
        (np.array([[1.0, np.inf]], np.float16), "not finite"),
        (np.array([[1.0, 2.0]], np.longdouble), "at most 64 bits, not float128"),
        (np.array([[1 + 2j, 2.0]]), "not complex128"),
        (np.array([[True, False]]), "not bool"),
        (np.zeros((1, 2), [("a", float)]), "floating-point"),
        (np.ones((2, 2, 3)), r"one array \(h,w\), not \(2, 2, 3\)"),
        (np.ones((0, 3)), r"not \(0, 3\)"),
        (np.ones((2, 3), np.uint8), "not uint8"),
        (np.array([[{}]]), "not a readable"),
        (b"no array at all", "not a readable"),
        (b"", "not a readable"),
    ],
)
def test_bad_files_are_named(folder, array, message):
    path = folder / "000012" / "cat.npy"
    if isinstance(array, bytes):
        path.write_bytes(array)
    else:
        np.save(path, array)
    with pytest.raises(ValueError, match=message) as caught:
        Maps(folder, CLASSES)(sample(), torch.tensor([0]))
    assert str(path) in str(caught.value)


def test_maps_of_one_picture_share_a_shape(folder):
    np.save(folder / "000012" / "cat.npy", np.ones((2, 4)))
    with pytest.raises(ValueError, match=r"cat\.npy"):
        Maps(folder, CLASSES)(sample(), torch.tensor([1, 0]))
