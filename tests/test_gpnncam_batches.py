"""How many pictures pass at once where nobody says it."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gpnncam.batch_size import MOST, ROOM, Passes, largest
from gpnncam.cam import GPNNCAM
from tests.small_network import SIDE, classifier, image

PIXELS = torch.rand(9, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Counting(nn.Module):
    """Its largest activation is `share` of the room for each picture of 16 x 16; `sizes` are the passes' pictures."""

    def __init__(self, share):
        super().__init__()
        self.conv = nn.Conv2d(3, max(1, round(share * ROOM / (16 * 16 * 4))), 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.sizes = []

    def forward(self, pixels):
        self.sizes.append(len(pixels))
        return self.pool(self.conv(pixels))


def passed(passes, pixels=PIXELS):
    with torch.no_grad():
        return torch.cat([passes(pixels[rows]) for rows in passes.rows(pixels)])


@pytest.mark.parametrize(
    ("share", "sizes"), [(1.5, [1, 4, 4]), (0.3, [1, 4, 4]), (0.19, [1, 5, 3]), (0.14, [1, 7, 1]), (0.001, [1, 8])]
)
def test_as_many_as_the_largest_activation_has_room_for(share, sizes):
    network = Counting(share)
    passes = Passes(network)
    first, again = passed(passes), passed(passes)
    assert network.sizes == 2 * sizes, "a later call passes other batches, so its numbers may differ"
    assert torch.equal(first, again)
    assert not any(module._forward_hooks for module in network.modules())
    torch.testing.assert_close(first, passed(Passes(network, 4)))
    assert network.sizes[2 * len(sizes) :] == [4, 4, 1]


def test_each_size_of_picture_has_its_own_batch_and_never_more_than_MOST():
    network = Counting(0.24)
    passes = Passes(network)
    passed(passes), passed(passes, torch.rand(30, 3, 4, 4)), passed(passes)
    assert network.sizes == [1, 4, 4, 1, MOST, MOST, 30 - 1 - 2 * MOST, 1, 4, 4]


def test_a_network_that_is_no_module_or_shows_nothing_passes_MOST():
    assert [len(PIXELS[rows]) for rows in Passes(lambda pixels: pixels).rows(PIXELS)] == [1] + [1] * 8, "nothing passed"
    passes = Passes(lambda pixels: pixels)
    assert torch.equal(passed(passes), PIXELS)
    assert passes.fitting == {(16, 16): MOST}
    with largest(torch.jit.script(nn.Sequential(nn.ReLU()))) as seen:
        assert seen.bytes == 0


def test_a_failing_pass_leaves_no_hook():
    class Broken(Counting):
        def forward(self, pixels):
            super().forward(pixels)
            raise RuntimeError("broken")

    network = Broken(0.3)
    passes = Passes(network)
    with pytest.raises(RuntimeError, match="broken"):
        passed(passes)
    assert passes.fitting == {}
    assert not any(module._forward_hooks for module in network.modules())


def test_maps_do_not_depend_on_it_and_a_runner_can_lower_it():
    targets = torch.tensor([0, 2])
    model = classifier()
    torch.manual_seed(3)
    expected = GPNNCAM(model, n=7, source="flip_crop", batch=3)(image(), targets)
    free = GPNNCAM(model, n=7, source="flip_crop")
    assert free.batch == MOST
    for _ in range(2):
        torch.manual_seed(3)
        torch.testing.assert_close(free(image(), targets), expected, rtol=1e-4, atol=1e-6)
    assert list(free.passes.fitting) == [(SIDE, SIDE)]
    free.batch //= 2
    assert [rows.stop - rows.start for rows in free.passes.rows(PIXELS)] == [5, 4]


def test_the_picture_alone_passes_once():
    model = classifier()
    alone = GPNNCAM(model, source="none")
    twice = GPNNCAM(model, n=1, source=lambda picture, n, seed: SimpleNamespace(pixels=picture[None]))
    for cam, passes in ((alone, 1), (twice, 2)):
        before = model.images_seen
        maps = cam(image(), torch.tensor([0, 2]))
        assert model.images_seen - before == passes
        torch.testing.assert_close(maps, alone(image(), torch.tensor([0, 2])), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("share", "together"), [(1.5, 4), (0.19, 5), (0.001, MOST)])
def test_how_many_pass_together_is_known_before_and_after_the_first_pass(share, together):
    network = Counting(share)
    passes = Passes(network)
    assert passes.at_once(PIXELS[:1]) == together
    passed(passes)
    assert passes.at_once(PIXELS[:1]) == together
    assert Passes(network, 4).at_once(PIXELS[:1]) == 4
