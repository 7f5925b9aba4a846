"""Filling a removed region: what may be read, what may be written, and where the sources lie."""

import warnings

import numpy as np
import pytest
import torch

from gpnncam import fill, inpaint, masked
from gpnncam.levels import ROW, unfold
from gpnncam.patches import to_rows
from tests.test_gpnn import scene


def disc(height, width, radius, row=0.5, column=0.5):
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (y - row * height) ** 2 + (x - column * width) ** 2 < radius**2


def touched_patches(mask):
    """(H, W) -> (H - 6, W - 6): whether a patch holds a removed pixel."""
    return mask.unfold(0, 7, 1).unfold(1, 7, 1).flatten(2).any(-1)


def scattered(height, width, share, seed=0):
    return torch.rand(height, width, generator=torch.Generator().manual_seed(seed)) < share


MASKS = {
    "disc": disc(60, 70, 15),
    "left half": torch.arange(70).expand(60, 70) < 35,
    "two regions": disc(60, 70, 8, 0.2, 0.2) | disc(60, 70, 9, 0.8, 0.7),
    "line": torch.arange(70).expand(60, 70) == 33,
    "one pixel": disc(60, 70, 1),
    "all but a corner": ~disc(60, 70, 30, 0, 0),
}


@pytest.mark.parametrize("name", MASKS)
def test_removed_pixels_are_averages_of_whole_patches_and_the_rest_is_untouched(name):
    """The second implementation: every removed pixel from the field alone, patch by patch."""
    image, mask = scene(60, 70) * 0.999 + 0.0003, MASKS[name]  # not in steps of 1/255: what remains stays as it was
    result = fill(image, mask, 3)
    assert torch.equal(result.pixels[:, ~mask], image[:, ~mask])
    assert result.sides
    assert result.field.dtype == torch.int32
    touched = touched_patches(mask)
    rows, columns = result.field.long().unbind(-1)
    assert not touched[rows, columns].any(), "a source patch holds removed pixels"
    own = torch.stack(torch.meshgrid(torch.arange(54), torch.arange(64), indexing="ij"), -1)
    assert torch.equal(result.field[~touched].long(), own[~touched])
    total, count = torch.zeros(3, 60, 70, dtype=torch.float64), torch.zeros(60, 70)
    for y in range(54):
        for x in range(64):
            r, c = rows[y, x], columns[y, x]
            total[:, y : y + 7, x : x + 7] += (255 * image[:, r : r + 7, c : c + 7]).round().double()
            count[y : y + 7, x : x + 7] += 1
    expected = (total / count / 255)[:, mask]
    assert torch.allclose(result.pixels[:, mask].double(), expected, atol=0.501 / 255)


@pytest.mark.parametrize("name", [*MASKS, "scattered"])
def test_nothing_of_the_removed_region_is_read(name):
    image = scene(60, 70)
    mask = scattered(60, 70, 0.4) if name == "scattered" else MASKS[name]
    other = torch.where(mask, scene(60, 70, 5).flip(1), image)
    assert not torch.equal(image, other)
    first, second = fill(image, mask, 1), fill(other, mask, 1)
    assert torch.equal(first.pixels, second.pixels)
    assert torch.equal(first.field, second.field)


def test_batch_order_and_threads_change_nothing_and_the_seed_does():
    image, masks = scene(60, 70), torch.stack(list(MASKS.values()))
    together = fill(image, masks, 4, threads=1)
    backwards = fill(image, masks.flip(0), 4, threads=3)
    assert together.pixels.shape == (len(masks), 3, 60, 70)
    for i, mask in enumerate(masks):
        alone = fill(image, mask, 4)
        assert alone.pixels.shape == (3, 60, 70)
        assert alone.sides == together.sides[i]
        for part in ("pixels", "field"):
            assert torch.equal(getattr(alone, part), getattr(together, part)[i])
            assert torch.equal(getattr(alone, part), getattr(backwards, part)[-1 - i])
    assert not torch.equal(fill(image, masks[0], 5).pixels, together.pixels[0])


def test_a_repeated_pattern_is_continued():
    """Tiles of 24 x 26 pixels: the region has one right filling, and interpolation is far from it."""
    tile = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    tile = torch.nn.functional.interpolate(tile, (24, 26))[0]
    image = (tile.repeat(1, 5, 4)[:, :100, :104] * 255).round() / 255
    mask = disc(100, 104, 14)
    error = (fill(image, mask, 0).pixels - image)[:, mask].abs().mean()
    spread = (image[:, mask] - image.mean((1, 2))[:, None]).abs().mean()
    assert error < 0.1 * spread


def test_an_object_of_its_own_colour_does_not_come_back():
    image = 0.3 + 0.2 * torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(2))
    thing, mask = disc(96, 96, 16), disc(96, 96, 18)
    image[:, thing] = torch.tensor([1.0, 0.0, 0.0])[:, None]
    filled = fill(image, mask, 0).pixels[:, mask]
    assert filled[0].max() <= 0.51
    assert filled[1].min() >= 0.29
    # With a piece of it left over the fill continues the piece: the danger that the documentation names.
    assert fill(image, mask & (torch.arange(96) < 50), 0).pixels[0, mask].max() > 0.6


def test_nothing_removed_returns_the_picture():
    image = scene(40, 50)
    result = fill(image, torch.zeros(40, 50, dtype=torch.bool), 0)
    assert torch.equal(result.pixels, image)
    assert result.sides == []
    assert torch.equal(result.field[5, 7], torch.tensor([5, 7], dtype=torch.int32))


def test_everything_removed_is_refused():
    masks = torch.stack([torch.zeros(40, 50, dtype=torch.bool), torch.ones(40, 50, dtype=torch.bool)])
    for mask in (masks[1], masks):
        with pytest.raises(ValueError, match="whole picture"):
            fill(scene(40, 50), mask, 0)


def test_levels_without_whole_patches_are_interpolated_and_named():
    image = scene(96, 96)
    large = fill(image, ~disc(96, 96, 15), 0)
    assert large.sides
    assert large.sides[0] > 14, "the coarsest levels hold no whole patch here"
    assert large.sides[-1] == 96
    # Scattered pixels: coarse levels remain entirely, the finest has no whole patch: no source is named, and the
    # picture is nearer to the original than its mean is, since its coarse structure is known.
    mask = scattered(96, 96, 0.6)
    dust = fill(image, mask, 0)
    assert 96 not in dust.sides
    assert (dust.field[touched_patches(mask)] == -1).all()
    spread = (image - image.mean((1, 2), keepdim=True)).abs().mean()
    assert (dust.pixels - image)[:, mask].abs().mean() < 0.22 * spread
    # Where less than half remains on every level, what does is used all the same.
    mask = scattered(96, 96, 0.85)
    thin = fill(image, mask, 0)
    assert thin.sides == []
    assert (thin.pixels - image)[:, mask].abs().mean() < 0.33 * spread


def test_only_the_first_level_starts_anew():
    """Finer levels continue the field: neighbouring patches come from neighbouring sources."""
    mask = disc(96, 96, 20)
    field = fill(scene(96, 96), mask, 0, sigma=3).field
    inside = touched_patches(mask)
    continued = ((field[:, 1:] - field[:, :-1]) == torch.tensor([0, 1])).all(-1)
    assert continued[inside[:, 1:] & inside[:, :-1]].float().mean() > 0.45


@pytest.mark.parametrize("size", [(7, 7), (10, 9), (14, 14), (15, 16), (7, 60), (200, 20)])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_sizes_and_shares(size, share):
    image = scene(*size)
    blob = disc(*size, (share * size[0] * size[1] / 3.2) ** 0.5, 0.3, 0.4)
    for mask in (blob, scattered(*size, share, 3)):
        if mask.all():
            continue
        result = fill(image, mask, 7)
        assert torch.equal(result.pixels[:, ~mask], image[:, ~mask])
        assert result.pixels.isfinite().all()
        assert result.field.shape == (size[0] - 6, size[1] - 6, 2)
        low, high = (255 * image[:, ~mask]).round().amin(1), (255 * image[:, ~mask]).round().amax(1)
        constant = torch.full((3, *size), 100 / 255)
        assert torch.equal(fill(constant, mask, 7, sigma=0).pixels, constant)
        if result.sides and result.sides[-1] == min(size):  # patches hold only colours of the rest
            filled = (255 * result.pixels[:, mask]).round()
            assert (filled >= low[:, None]).all()
            assert (filled <= high[:, None]).all()


def test_nearest_is_the_dense_search_over_whole_patches_first_among_equals():
    rng = np.random.default_rng(3)
    query, key = rng.integers(0, 3, (14, 15, 3)) * 100, rng.integers(0, 2, (14, 15, 3)) * 255
    key[:, 8:] = key[:, :7]
    hole = disc(14, 15, 4, 0.5, 0.1).numpy()
    touched, field = np.empty((8, 9), np.int8), np.zeros((8, 9), np.int32)
    assert masked.touch(hole.view(np.int8), touched) == (touched == 0).sum()
    assert np.array_equal(touched > 0, touched_patches(torch.from_numpy(hole)).numpy())
    assert 0 < touched.sum() < touched.size
    masked.settle(field, touched)
    masked.nearest(to_rows(query), to_rows(key), touched, field)
    dense = ((unfold(query)[:, None] - unfold(key)[None]) ** 2).sum(-1)
    best = np.where(touched.ravel() > 0, 1 << 30, dense).argmin(1).reshape(8, 9)
    best = np.where(touched > 0, best, np.arange(72).reshape(8, 9))
    assert np.array_equal((field >> 16) * 9 + (field & 65535), best)


def test_settle_moves_a_source_to_the_nearest_whole_patch():
    rng = np.random.default_rng(0)
    touched = (rng.random((12, 17)) < 0.9).astype(np.int8)
    wanted = rng.integers(0, 12, (12, 17)) * ROW + rng.integers(0, 17, (12, 17))
    field = wanted.astype(np.int32)
    masked.settle(field, touched)
    whole = np.argwhere(touched == 0)
    for (y, x), code in np.ndenumerate(field):
        row, column = code >> 16, code & 65535
        assert not touched[row, column]
        if not touched[y, x]:
            assert (row, column) == (y, x)
            continue
        r, c = wanted[y, x] >> 16, wanted[y, x] & 65535
        assert max(abs(row - r), abs(column - c)) == np.abs(whole - (r, c)).max(1).min()


def test_sweeps_come_within_two_percent_of_the_exact_search():
    image = np.rint(scene(60, 33, 4).repeat(1, 1, 3).permute(1, 2, 0).numpy() * 255)
    hole = disc(60, 99, 7).numpy()
    query = np.clip(image + np.random.default_rng(0).normal(0, 4, image.shape).round(), 0, 255)
    touched = np.empty((54, 93), np.int8)
    masked.touch(hole.view(np.int8), touched)
    fields = [np.zeros((54, 93), np.int32) for _ in range(2)]
    for field in fields:
        masked.settle(field, touched)
    query, key = to_rows(query), to_rows(image)
    masked.nearest(query, key, touched, fields[0])
    state = np.array([1], np.uint64)
    for step in range(10):
        masked.sweep(query, key, touched, fields[1], step % 2 == 1, 54, state)

    def mean(field):
        at = ((field >> 16) * 93 + (field & 65535)).ravel()
        distances = ((unfold(query[:, :297].reshape(60, 99, 3).astype(np.int64)) - unfold(image)[at]) ** 2).sum(1)
        return distances[touched.ravel() > 0].mean()

    assert not touched[fields[1] >> 16, fields[1] & 65535].any()
    assert 1 <= mean(fields[1]) / mean(fields[0]) <= 1.02


@pytest.mark.parametrize(
    ("mask", "settings", "message"),
    [
        (torch.zeros(20, 24), {}, "boolean"),
        (np.zeros((20, 24), bool), {}, "ndarray"),
        (torch.zeros(24, 20, dtype=torch.bool), {}, r"\(20, 24\)"),
        (torch.zeros(1, 1, 20, 24, dtype=torch.bool), {}, "shape"),
        (torch.zeros(0, 20, 24, dtype=torch.bool), {}, "at least 1"),
        (torch.zeros(20, 24, dtype=torch.bool), {"seed": -1}, "seed"),
        (torch.zeros(20, 24, dtype=torch.bool), {"sigma": -1}, "sigma"),
        (torch.zeros(20, 24, dtype=torch.bool), {"noise": "pink"}, "pink"),
    ],
)
def test_arguments_that_are_refused(mask, settings, message):
    with pytest.raises(ValueError, match=message):
        fill(torch.zeros(3, 20, 24), mask, **settings)


def test_strong_noise_cannot_overflow_the_distances():
    assert 147 * (inpaint.FURTHEST[1] + 255) ** 2 < 2**31
    image, mask = scene(60, 70), MASKS["disc"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # numpy warns where a value does not fit its type
        filled = fill(image, mask, 0, sigma=100).pixels[:, mask]
    assert filled.min() >= image.min() - 1 / 255
    assert filled.max() <= image.max() + 1 / 255
