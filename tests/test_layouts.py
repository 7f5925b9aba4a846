"""Layouts: the same network with channels first, channels last and tokens gives the same maps, at the known place."""

import pytest
import torch
from torch import nn

from baselines.ablation_cam import AblationCAM
from baselines.cam import CAM, FORMULAS, GradCAMPlusPlus
from baselines.eigen_cam import EigenCAM
from baselines.score_cam import ScoreCAM
from baselines.taps import activations_and_gradients
from eval.networks.classifier import Classifier
from gpnncam.cam import GPNNCAM
from gpnncam.layouts import FIRST, LAST, Layout, decide, declared, token_grid

SIDE, CELL = 56, 8
LAYOUTS = {"first": 0, "last": 0, "tokens": 1, "registers": 5}
METHODS = {
    **{formula: lambda made, formula=formula: CAM(made, formula) for formula in FORMULAS},
    "GradCAM++": GradCAMPlusPlus,
    "EigenCAM as its paper": EigenCAM,
    "ScoreCAM": ScoreCAM,
    "AblationCAM": AblationCAM,
    "GPNN-CAM": lambda made: GPNNCAM(made, source="none"),
    "GPNN-CAM of copies": lambda made: GPNNCAM(made, n=2, source="noise", copy_sigma=0.01),
}


class Planted(nn.Module):
    """Three channels, the mean colours of 7 x 7 cells; class c is scored by the square of channel c. The network's
    layer `features` holds them in one of the layouts; tokens stand behind others that are constant."""

    def __init__(self, kind):
        super().__init__()
        self.kind, self.features, self.deep = kind, nn.Identity(), nn.Identity()
        self.cells = nn.AvgPool2d(CELL)

    def forward(self, pixels):
        maps = self.cells(pixels)
        if self.kind == "last":
            return self.deep(self.features(maps.permute(0, 2, 3, 1))).square().mean((1, 2))
        if self.kind == "first":
            return self.deep(self.features(maps)).square().mean((2, 3))
        tokens = maps.flatten(2).transpose(1, 2)
        before = tokens.new_ones(len(tokens), LAYOUTS[self.kind], 3)
        tokens = self.deep(self.features(torch.cat([before, tokens], 1)))
        return tokens[:, LAYOUTS[self.kind] :].square().mean(1)


def planted(kind, **more):
    said = {"tokens": {"prefix": LAYOUTS[kind]}}
    layouts = {"features": said, "deep": said} if LAYOUTS[kind] else None
    layers = {"cam": ["features"], "gpnncam": ["deep", "features"]}
    return Classifier(
        Planted(kind), [0.1] * 3, [0.5] * 3, layers, ["red", "green", "blue"], side=SIDE, layouts=layouts, **more
    )


def picture(height=SIDE, width=SIDE):
    """Grey, with a red cell at (1,2), a green one at (4,0) and a blue one at (5,5) of the grid."""
    pixels = torch.full((3, height, width), 0.1) + 0.02 * torch.rand(
        3, height, width, generator=torch.Generator().manual_seed(0)
    )
    for channel, (row, column) in enumerate(CELLS):
        pixels[channel, row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = 1
    return pixels


CELLS = [(1, 2), (4, 0), (5, 5)]
TARGETS = torch.tensor([0, 1, 2])


def answer(make, kind):
    torch.manual_seed(0)
    return make(planted(kind))(picture(), TARGETS)


@pytest.mark.parametrize("kind", [kind for kind in LAYOUTS if kind != "first"])
@pytest.mark.parametrize("name", METHODS)
def test_maps_do_not_depend_on_the_layout(name, kind):
    expected, actual = answer(METHODS[name], "first"), answer(METHODS[name], kind)
    assert actual.shape == (3, 7, 7)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-6)
    assert expected.flatten(1).std(1).min() > 0


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("name", ["GradCAM", "LayerCAM", "ScoreCAM", "AblationCAM", "GPNN-CAM"])
def test_the_highest_cell_is_the_one_that_is_scored(name, kind):
    actual = answer(METHODS[name], kind)
    assert [divmod(int(each.argmax()), 7) for each in actual] == CELLS


@pytest.mark.parametrize("kind", LAYOUTS)
def test_gradients_are_taken_in_the_networks_layout_and_read_as_maps(kind):
    made = planted(kind)
    ((activations, gradients),) = activations_and_gradients(made, picture(), TARGETS, ["features"])
    assert activations.shape == (1, 3, 7, 7)
    assert gradients.shape == (3, 3, 7, 7)
    for target in range(3):
        expected = torch.zeros(3, 7, 7)
        expected[target] = 2 * activations[0, target] / 49
        torch.testing.assert_close(gradients[target], expected)


def test_pictures_that_are_not_square_keep_their_grid():
    for kind in LAYOUTS:
        made = planted(kind)
        actual = CAM(made)(picture(56, 80), TARGETS)
        assert actual.shape == (3, 7, 10)
        assert [divmod(int(each.argmax()), 10) for each in actual] == CELLS


class Returns(nn.Module):
    """A layer whose output has a given shape: `grid` numbers stand for h and w, which follow the picture."""

    def __init__(self, channels, cell, last, stuck=False):
        super().__init__()
        self.layer, self.channels, self.cell, self.last, self.stuck = nn.Identity(), channels, cell, last, stuck

    def forward(self, pixels):
        if self.stuck and pixels.shape[2] != pixels.shape[3]:
            raise RuntimeError("square pictures only")
        maps = nn.functional.avg_pool2d(pixels, self.cell)[:, :1].expand(-1, self.channels, -1, -1)
        return self.layer(maps.permute(0, 2, 3, 1) if self.last else maps).flatten(1).mean(1, keepdim=True)


@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("channels", [2, 7, 30])
def test_channels_last_are_told_from_first(last, channels):
    made = Classifier(Returns(channels, 8, last), [0] * 3, [1] * 3, {}, ["a"], side=SIDE)
    assert made.layout("layer") == (LAST if last else FIRST)
    assert made.images_seen == 0


def test_two_readings_are_refused_with_the_setting():
    network = Returns(7, 8, True, stuck=True)
    with pytest.raises(ValueError, match=r"\(1, 7, 7, 7\).*\+model.layouts.layer.channels=first or last"):
        CAM(Classifier(network, [0] * 3, [1] * 3, {"cam": ["layer"]}, ["a"], side=SIDE))
    said = Classifier(network, [0] * 3, [1] * 3, {}, ["a"], side=SIDE, layouts={"layer": {"channels": "last"}})
    assert said.layout("layer") == LAST


class Turned(nn.Module):
    def forward(self, pixels):
        return pixels.transpose(2, 3)  # columns of patches, one by one


def test_unknown_tokens_are_refused_with_the_setting_and_wrong_ones_named():
    network = Planted("tokens")
    shown = Classifier(network, [0] * 3, [1] * 3, {"cam": ["features"]}, list("abc"), side=SIDE)
    assert shown.layout("features") == Layout("tokens", 1), "a patch that changes moves its token"
    assert shown.images_seen == 0
    turned = nn.Sequential(Turned(), network)
    with pytest.raises(ValueError, match=r"\(1, 50, 3\), not feature maps.*layouts.1.features.tokens.prefix=1"):
        CAM(Classifier(turned, [0] * 3, [1] * 3, {"cam": ["1.features"]}, list("abc"), side=SIDE))
    wrong = {"features": {"tokens": {"prefix": 0}}}
    made = Classifier(network, [0] * 3, [1] * 3, {"cam": ["features"]}, list("abc"), side=SIDE, layouts=wrong)
    with pytest.raises(ValueError, match="50 tokens, 0 of them before the patches, are no grid"):
        CAM(made)(picture(), TARGETS)


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"a.b": {"channels": "last"}}, {"a.b": LAST}),
        ({"a": {"b": {"tokens": {"prefix": 2}}, "c": {"channels": "first"}}},
         {"a.b": Layout("tokens", 2), "a.c": FIRST}),
        (None, {}),
    ],
)  # fmt: skip
def test_declarations(entry, expected):
    assert declared(entry) == expected


@pytest.mark.parametrize(
    "entry",
    [
        {"a": "last"}, {"a": {"channels": "middle"}}, {"a": {"tokens": 1}}, {"a": {"tokens": {"prefix": -1}}},
        {"a": {"tokens": {"prefix": True}}}, {"a": {"tokens": {"prefix": 1}, "channels": "last"}},
        {"a": {"tokens": {"prefix": 1, "suffix": 1}}},
    ],
)  # fmt: skip
def test_a_declaration_that_says_nothing_is_refused(entry):
    with pytest.raises(ValueError, match="it must be"):
        declared(entry)


def test_a_declared_layer_must_exist():
    with pytest.raises(ValueError, match="no layer 'featurs'; near names: features"):
        Classifier(Planted("last"), [0] * 3, [1] * 3, {}, list("abc"), layouts={"featurs": {"channels": "last"}})


def test_types_speak_where_shapes_do_not():
    network = nn.Sequential(nn.Conv2d(3, 7, 8, 8), nn.ReLU(), nn.LayerNorm(7))
    block = nn.Sequential(network)
    for name, layout in (("0.0", FIRST), ("0.2", LAST)):
        assert decide(block, name, (1, 7, 7, 7), (56, 56), None) == layout
    with pytest.raises(ValueError, match="have the same shape"):
        decide(block, "0.1", (1, 7, 7, 7), (56, 56), None)
    assert decide(nn.Sequential(network[:2]), "0", (1, 7, 7, 7), (56, 56), None) == FIRST


def test_grids_of_tokens():
    assert token_grid(196, (224, 224)) == (14, 14)
    assert token_grid(70, (56, 80)) == (7, 10)
    assert token_grid(197, (224, 224)) is None
    assert token_grid(0, (224, 224)) is None
