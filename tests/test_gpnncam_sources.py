"""The stand-ins for the generator, and the vote that carries heat back to the picture."""

import pytest
import torch

from gpnncam import sources
from gpnncam.vote import carry_back


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


def test_noise_has_the_deviation_asked_for():
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


def test_identity_field_carries_the_heat_back_unchanged():
    heat = torch.rand(2, 3, 8, 9, generator=torch.Generator().manual_seed(1))
    grid = torch.stack(torch.meshgrid(torch.arange(8), torch.arange(9), indexing="ij"), -1)
    votes, counts = carry_back(heat, grid.expand(3, -1, -1, -1))
    torch.testing.assert_close(votes, heat.double().sum(1))
    assert (counts == 3).all()


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
