"""Removals judged by masks: which pixels go, what stands in their place, and the table of what that does."""

import numpy as np
import pandas as pd
import pytest
import torch

from eval.running.config import load
from scripts import removal
from tests.measure_cases import picture
from tests.small_network import classifier


def disc(height, width, y, x, radius):
    rows, columns = np.mgrid[:height, :width]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


@pytest.mark.parametrize("radius", [1, 5, 11])
def test_background_is_of_the_same_area_and_beside_the_object(radius):
    mask = disc(32, 40, 9, 12, radius)
    for seed in (1, 2):
        beside = removal.background(mask, seed)
        assert beside.sum() == mask.sum()
        assert not (beside & mask).any()
    assert not np.array_equal(removal.background(mask, 1), removal.background(mask, 2))
    if radius < 8:  # there is room for the shape as it is
        assert any(np.array_equal(np.roll(mask, (y, x), (0, 1)), beside) for y in range(32) for x in range(40))


def test_half_of_a_picture_leaves_the_other_half():
    mask = np.zeros((8, 8), bool)
    mask[:, :4] = True
    assert np.array_equal(removal.background(mask, 3), ~mask)
    checker = np.indices((8, 8)).sum(0) % 2 == 0
    assert np.array_equal(removal.background(checker, 3), ~checker)


@pytest.mark.parametrize("fill", removal.FILLS)
def test_a_fill_changes_what_is_removed_and_nothing_else(fill):
    image, mask = picture(), disc(32, 32, 14, 17, 6)
    changed = removal.filled(fill, image, mask, classifier(), 5)
    different = (changed != image).any(0).numpy()
    assert not different[~mask].any()
    assert different[mask].mean() > 0.9
    if fill == "mean":
        assert torch.allclose(changed[:, torch.from_numpy(mask)], torch.tensor(0.5))
    other = image.clone()
    other[:, torch.from_numpy(mask)] = 0.25
    if fill != "blur":  # blur alone keeps something of what was there
        assert torch.equal(removal.filled(fill, other, mask, classifier(), 5)[:, mask], changed[:, mask])


def test_masks_are_read_at_pixel_centres():
    mask = np.zeros((4, 6), bool)
    mask[1, 2] = True
    assert np.array_equal(removal.on_input(mask, (8, 12)), mask.repeat(2, 0).repeat(2, 1))
    assert np.array_equal(removal.on_input(mask, (4, 6)), mask)


def test_the_table_counts_what_is_kept_and_lost():
    lines = [
        {"key": f"{key}", "label": "cat", "fill": fill, "kept": float(key < kept), "lost": float(key < lost)}
        for fill, kept, lost in (("mean", 8, 2), ("gpnn", 2, 4))
        for key in range(20)
    ]
    text = removal.table(pd.DataFrame(lines), resamples=500)
    mean, gpnn = (next(line for line in text.splitlines() if line.startswith(f"| {name}")) for name in ("mean", "gpnn"))
    assert [cell.split()[0] for cell in mean.split("|")[2:6]] == ["0.250", "0.400", "0.100", "+0.100"]
    assert [cell.split()[0] for cell in gpnn.split("|")[2:5]] == ["0.150", "0.100", "0.200"]
    assert text.endswith("Wrong least often: gpnn.")


def test_on_the_built_in_scenes(capsys):
    frame = removal.observe(load(["dataset=demo", "model=resnet50", "limit=2"]), 5)
    assert set(frame["fill"]) == set(removal.FILLS)
    one = frame.groupby("fill")[["key", "label", "area", "whole"]].agg(list)
    assert all(one.loc[fill].equals(one.loc["mean"]) for fill in removal.FILLS)
    assert (frame["area"] <= removal.LARGEST).all()
    assert frame["without"].mean() < frame["beside"].mean(), "the object is what the network sees"
    assert "left out:" in capsys.readouterr().out
    assert removal.main(["dataset=demo", "--top-k", "0"]) == 1
