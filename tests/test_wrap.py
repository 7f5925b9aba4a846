"""gpnncam from Python alone: any torchvision network wrapped, any kind of picture, any kind of target."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from baselines.cam import CAM
from eval.game.pointing import upscale
from eval.game.protocol import Input
from gpnncam import GPNNCAM, explain, wrap
from tests import small_network

NORMAL = {"mean": [0.5] * 3, "std": [0.25] * 3, "side": small_network.SIDE}


def test_a_network_without_maps_is_refused_in_words():
    with pytest.raises(ValueError, match=r"no layer returns maps .* wrap\(\.\.\., layers=\[NAME\]\)"):
        wrap(nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4)), side=8)


def test_the_same_maps_as_through_the_suites_classifier():
    image = small_network.image()
    suites = GPNNCAM(small_network.classifier(), n=3, source=small_network.random_source)
    network = small_network.network()
    wrapped = wrap(network, layers=["2", "1", "0"], **NORMAL)
    ours = GPNNCAM(wrapped, n=3, source=small_network.random_source)
    targets = torch.tensor([1, 3])
    answers = []
    for method in (suites, ours):
        torch.manual_seed(0)
        answers.append(method(image, targets))
    assert torch.equal(*answers)
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert not any(getattr(m, "inplace", False) for m in network.modules())
    assert wrapped.images_seen == 4


def test_a_layer_by_one_name_by_use_and_by_a_wrong_one():
    wrapped = wrap(small_network.network(), layers="1", **NORMAL)
    assert wrapped.layers == {"gpnncam": ["1"], "cam": ["1"], "relevance": ["1"]}
    uses = wrap(small_network.network(), layers={"gpnncam": ("2", "1"), "cam": "2"}, **NORMAL)
    assert uses.layers == {"gpnncam": ["2", "1"], "cam": ["2"]}
    with pytest.raises(ValueError, match=r"no layer '2\.7'; near names: 2\.2"):
        wrap(small_network.network(), layers=["2.7"], **NORMAL)


def kinds_of_one_picture():
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    tensor = torch.from_numpy(pixels).movedim(-1, 0)
    yield "PIL", Image.fromarray(pixels)
    yield "RGBA", Image.fromarray(pixels).convert("RGBA")
    yield "numpy", pixels
    yield "numpy float", pixels / 255
    yield "uint8 tensor", tensor
    yield "float tensor", tensor.float() / 255
    yield "half of a batch", (tensor.float() / 255).double()


def test_every_kind_of_picture_gives_one_answer():
    wrapped = wrap(small_network.network(), layers=["2", "1"], **NORMAL)
    cam = GPNNCAM(wrapped, n=2, source="noise")
    kinds = dict(kinds_of_one_picture())
    answers = {kind: cam.explain(picture, 1) for kind, picture in kinds.items()}
    first = answers["PIL"]
    assert first.maps.shape == (1, 8, 8)
    for answer in answers.values():
        assert torch.allclose(answer.maps, first.maps, atol=1e-5)
        assert answer.points == first.points
        assert (answer.picture == np.asarray(kinds["PIL"])).all()
    # The picture reaches the network as the pointing game shows it.
    images = []
    explain(lambda image, targets: images.append(image) or torch.rand(1, 4, 4), wrapped, kinds["PIL"], 0)
    assert torch.equal(images[0], Input(side=small_network.SIDE).pixels(kinds["PIL"]))
    batches = [
        kinds["float tensor"].expand(2, -1, -1, -1),
        [kinds["PIL"], kinds["numpy"]],
        np.stack([kinds["numpy"]] * 2),
    ]
    for batch in batches:
        both = cam.explain(batch, 1)
        assert [each.points for each in both] == [first.points] * 2


@pytest.mark.parametrize(
    "targets", [[1, 3], (1, 3), torch.tensor([1, 3]), np.array([1, 3]), ["cat", "dog"], [1, "dog"]]
)
def test_every_kind_of_target(targets):
    wrapped = wrap(small_network.network(), layers=["2"], classes=["ant", "cat", "bee", "dog", "eel"], **NORMAL)
    answer = explain(CAM(wrapped, "GradCAM"), wrapped, small_network.image(), targets)
    assert answer.targets == [1, 3]
    assert answer.names == ["cat", "dog"]
    output = wrapped.network(wrapped.normalise(small_network.image()))
    assert answer.scores == pytest.approx(output[0, [1, 3]].tolist())
    best = explain(CAM(wrapped, "GradCAM"), wrapped, small_network.image(), top=2)
    assert best.targets == output[0].topk(2).indices.tolist()
    for one in (3, "dog", torch.tensor(3), np.int64(3)):
        assert explain(CAM(wrapped, "GradCAM"), wrapped, small_network.image(), one).targets == [3]


@pytest.mark.parametrize(
    ("picture", "targets", "said"),
    [
        (torch.rand(24, 32, 3), 0, "channels come first"),
        (torch.rand(1, 24, 32), 0, "a grey picture is repeated"),
        (torch.rand(3, 24, 32) * 4 - 2, 0, "must lie in [0, 1]"),
        (torch.full((3, 24, 32), torch.nan), 0, "must lie in [0, 1]"),
        (torch.ones(3, 24, 32, dtype=torch.int64), 0, "uint8, or float"),
        (np.zeros((3, 24, 32)), 0, "is no picture"),
        ("photo.jpg", 0, "str is no picture"),
        ([], 0, "list of pictures is empty"),
        (torch.rand(3, 8, 8), 5, "there is no class 5: the network has 5 outputs"),
        (torch.rand(3, 8, 8), -1, "there is no class -1"),
        (torch.rand(3, 8, 8), "dog", "have no names"),
        (torch.rand(3, 8, 8), 1.5, "number or the name"),
        (torch.rand(3, 8, 8), True, "number or the name"),
        (torch.rand(3, 8, 8), [], "no target"),
    ],
)
def test_what_is_no_picture_or_class_is_refused(picture, targets, said):
    wrapped = wrap(small_network.network(), layers=["2"], **NORMAL)
    with pytest.raises(ValueError, match=re.escape(said)):
        explain(CAM(wrapped, "GradCAM"), wrapped, picture, targets)


def test_what_is_no_classifier_is_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match=r"returns a tuple.* logits alone"):
        wrap(Pair())
    with pytest.raises(ValueError, match=r"takes a torch\.nn\.Module, not function"):
        wrap(lambda x: x)
    with pytest.raises(ValueError, match="5 outputs, but 2 classes"):
        wrap(small_network.network(), layers="2", classes=["a", "b"], **NORMAL)


def test_heat_points_overlay_and_file(tmp_path):
    wrapped = wrap(small_network.network(), layers="2", **NORMAL)
    maps = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    maps[1] = 0.25
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    answer = explain(lambda image, targets: maps, wrapped, picture, [0, 1])
    full = upscale(maps[0].numpy(), (60, 40))
    shares = (full.levels - full.levels.min()) / (full.levels.max() - full.levels.min())
    assert answer.points[0] == full.peak
    assert answer.heat[0].min() == 0
    assert answer.heat[0].max() == pytest.approx(1)
    assert np.allclose(answer.heat[0], shares, atol=1e-6)
    assert not answer.heat[1].any(), "a constant map has no heat"
    x, y = answer.points[0]
    hot, cold = (
        answer.overlay(0, strength=1)[place].astype(int)
        for place in ((y, x), np.unravel_index(full.levels.argmin(), (40, 60)))
    )
    assert hot.tolist() == [252, 255, 164]
    assert hot.sum() > cold.sum()
    answer.save(tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as image:
        shown = np.asarray(image.convert("RGB"))
    assert (shown[:, :60] == picture).all()
    assert (shown[:, 64:124] == answer.overlay(0)).all()
    assert shown.shape == (40, 188, 3)


def test_a_seed_decides_what_is_drawn_and_nothing_else_is_touched():
    wrapped = wrap(small_network.network(), layers="2", **NORMAL)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first, again, other = (
        explain(lambda image, targets: torch.rand(1, 4, 4), wrapped, small_network.image(), 0, seed=seed)
        for seed in (0, 0, 1)
    )
    assert torch.equal(first.maps, again.maps)
    assert not torch.equal(first.maps, other.maps)
    assert torch.equal(torch.rand(3), expected)


def test_maps_that_are_none_are_refused():
    wrapped = wrap(small_network.network(), layers="2", **NORMAL)
    for answer in (torch.rand(2, 4, 4), torch.rand(4, 4), torch.full((1, 4, 4), torch.nan)):
        with pytest.raises(ValueError, match=r"1 finite maps \(K,h,w\)"):
            explain(lambda image, targets, answer=answer: answer, wrapped, small_network.image(), 0)
