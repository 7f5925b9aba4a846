"""The stand-ins for the generator, and the vote that carries heat back to the picture."""

from types import SimpleNamespace

import pytest
import torch

from gpnncam import sources
from gpnncam.cam import GPNNCAM
from gpnncam.vote import carry_back, carry_back_all
from tests.small_network import SIDE, classifier, image


def picture(height=20, width=28):
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("source", [sources.noise(), sources.flip_crop()])
def test_same_seed_same_variations_and_prefixes_agree(source):
    first, again, other = source(picture(), 4, 7), source(picture(), 4, 7), source(picture(), 4, 8)
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, other.pixels)
    assert first.pixels.shape == (4, 3, 20, 28)
    assert first.pixels.min() >= 0
    assert first.pixels.max() <= 1
    assert torch.equal(source(picture(), 2, 7).pixels, first.pixels[:2])


def test_noise_has_its_deviation():
    grey = torch.full((3, 40, 40), 0.5)
    made = sources.noise(0.1)(grey, 20, 3)
    assert (made.pixels - grey).std() == pytest.approx(0.1, rel=0.02)
    assert (made.pixels.std(1) > 0).all(), "the channels have the same noise"


def test_none_is_the_picture_itself():
    made = sources.none()(picture(), 20, 1)
    assert torch.equal(made.pixels, picture()[None])


def test_flip_crop_fields_name_the_pixels_that_are_shown():
    """On a picture whose colours are its coordinates, pixel (r,c) of a crop has the colour of fields[r,c]."""
    height, width = 40, 60
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    coded = torch.stack([rows / height, columns / width, torch.zeros(height, width)])
    made = sources.flip_crop(0.5)(coded, 6, 2)
    shown_row, shown_column = made.pixels[:, 0] * height, made.pixels[:, 1] * width
    assert (shown_row - made.fields[..., 0]).abs().max() <= 1
    assert (shown_column - made.fields[..., 1]).abs().max() <= 1
    mirrored = (made.fields[:, 0, 0, 1] > made.fields[:, 0, -1, 1]).tolist()
    assert mirrored == [False, True] * 3


@pytest.mark.parametrize("n", [1, 4, 7])
def test_parts_take_turns_and_keep_their_own_variations_and_fields(n):
    noisy, cropped = sources.noise(), sources.flip_crop()
    made = sources.combine([noisy, cropped])(picture(), n, 7)
    first, second = noisy(picture(), n - n // 2, 7), cropped(picture(), max(1, n // 2), 8)
    assert torch.equal(made.pixels[::2], first.pixels)
    assert all(torch.equal(a, b) for a, b in zip(made.fields[::2], first.fields, strict=True))
    if n > 1:
        assert torch.equal(made.pixels[1::2], second.pixels)
        assert all(torch.equal(a, b) for a, b in zip(made.fields[1::2], second.fields, strict=True))
    more = sources.combine([noisy, cropped])(picture(), n + 3, 7)
    assert torch.equal(more.pixels[:n], made.pixels), "more variations change the first ones"


def test_a_part_named_twice_has_two_shares_of_different_variations():
    made = sources.combine([sources.noise(), sources.noise(), sources.none()])(picture(), 3, 2**63 - 1)
    assert torch.equal(made.pixels[2], picture())
    assert not torch.equal(made.pixels[0], made.pixels[1])


def test_a_dotted_name_is_a_source(tmp_path, monkeypatch):
    (tmp_path / "own_source.py").write_text(
        "from types import SimpleNamespace\n"
        "def darker(image, n, seed):\n    return SimpleNamespace(pixels=image.expand(n, -1, -1, -1) / 2)\n"
    )
    (tmp_path / "needy_source.py").write_text("import not_installed_anywhere\n")
    monkeypatch.syspath_prepend(tmp_path)
    cam = GPNNCAM(classifier(), n=3, source=["own_source.darker", "flip_crop"])
    torch.manual_seed(0)
    seed = int(torch.randint(2**63 - 1, ()))
    made = cam.source(image(), 3, seed)
    assert torch.equal(made.pixels[0], image() / 2)
    assert torch.equal(made.pixels[1], sources.flip_crop()(image(), 1, seed + 1).pixels[0])
    assert cam(image(), torch.tensor([1])).isfinite().all()
    for name, message in (
        ("own_source.lighter", "no function 'lighter'"),
        ("nowhere.darker", "no module 'nowhere'"),
        ("own_source.deeper.darker", "no module 'own_source.deeper'"),
    ):
        with pytest.raises(ValueError, match=message):
            GPNNCAM(classifier(), source=name)
    with pytest.raises(ModuleNotFoundError, match="not_installed_anywhere"):
        GPNNCAM(classifier(), source="needy_source.darker")
    with pytest.raises(ValueError, match="the source has none"):
        GPNNCAM(classifier(), n=2, source="own_source.darker", source_vote=True)(image(), torch.tensor([0]))


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (SimpleNamespace(pixels=torch.rand(2, 3, SIDE, SIDE)), r"\(3, 3, 32, 32\)"),
        (SimpleNamespace(pixels=torch.rand(3, 3, 8, 8)), "8, 8"),
        (torch.rand(3, 3, SIDE, SIDE), "Tensor without"),
    ],
)
def test_a_source_that_returns_something_else_is_refused(made, message):
    with pytest.raises(ValueError, match=message):
        GPNNCAM(classifier(), n=3, source=lambda image, n, seed: made)(image(), torch.tensor([0]))


def test_the_vote_of_combined_sources_is_the_sum_of_their_votes():
    """Patch fields and pixel fields in one call: each carries back as it does alone."""
    heat = torch.rand(2, 3, 20, 28, generator=torch.Generator().manual_seed(1))
    pixels = sources.flip_crop()(picture(), 2, 3).fields
    grid = torch.stack(torch.meshgrid(torch.arange(14), torch.arange(22), indexing="ij"), -1)
    votes, counts = carry_back_all(heat, [pixels[0], grid, pixels[1]])
    ones, twos = carry_back(heat[:, [0, 2]], pixels), carry_back(heat[:, [1]], grid[None])
    torch.testing.assert_close(votes, ones[0] + twos[0])
    torch.testing.assert_close(counts, ones[1] + twos[1])


def test_identity_field_carries_the_heat_back_unchanged():
    heat = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(1))
    grid = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(9), indexing="ij"), -1)
    votes, counts = carry_back(heat, grid.expand(3, -1, -1, -1))
    torch.testing.assert_close(votes, heat.double().sum(1))
    assert (counts == 3).all()


@pytest.mark.parametrize("patch", [1, 2, 3, 4])
def test_heat_is_spread_over_the_source_patch_of_any_side(patch):
    """The loop over patches: each gives the heat at its centre to every pixel of its source patch, in equal parts."""
    height, width, draw = 9, 11, torch.Generator().manual_seed(patch)
    heat = torch.rand(1, 2, height, width, generator=draw)
    size = height - patch + 1, width - patch + 1
    fields = torch.stack([torch.randint(side, (2, *size), generator=draw) for side in size], -1)
    weighed, there = torch.zeros(height, width).double(), torch.zeros(height, width).double()
    for n in range(2):
        for row in range(size[0]):
            for column in range(size[1]):
                y, x = fields[n, row, column].tolist()
                weighed[y : y + patch, x : x + patch] += heat[0, n, row + patch // 2, column + patch // 2]
                there[y : y + patch, x : x + patch] += 1
    votes, counts = carry_back(heat, fields)
    assert votes.shape == (1, height, width)
    inner = slice(patch, height - patch), slice(patch, width - patch)  # at the border fewer pixels share a vote
    torch.testing.assert_close(votes[0][inner], weighed[inner] / patch**2)
    torch.testing.assert_close(counts[inner], there[inner] / patch**2)


def test_patch_fields_carry_heat_to_where_it_came_from():
    """A variation shifted by (2,3): its hot spot lands at the source's place, spread over one patch."""
    height, width, patch = 24, 30, 7
    grid = torch.stack(torch.meshgrid(torch.arange(height - 6), torch.arange(width - 6), indexing="ij"), -1)
    field = (grid + torch.tensor([2, 3])).clamp(max=torch.tensor([height - 7, width - 7]))
    heat = torch.zeros(1, 1, height, width)
    heat[0, 0, 10, 12] = 1
    votes, counts = carry_back(heat, field[None])
    row, column = divmod(int(votes[0].argmax()), width)
    hot = votes[0] > 0
    assert hot.sum() == patch * patch
    assert hot[12 - 3 : 12 + 4, 15 - 3 : 15 + 4].all()
    assert (row, column) == (12 - 3, 15 - 3)
    assert counts[0, 0] == 0, "nothing shows the picture's corner"
