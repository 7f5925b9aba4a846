"""scripts.explain.explain: the command's answers from Python, about files, folders, arrays and batches."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from baselines.cam import CAM
from scripts.explain import explain
from scripts.explain.__main__ import main as command
from tests import small_network

OWN = {
    "model": "mynetwork:build",
    "mean": [0.5] * 3,
    "std": [0.25] * 3,
    "settings": ["protocol.input.side=32"],
}


class Power(CAM):
    """A variant that is a formula of activations and gradients."""

    def __init__(self, classifier, power=2.0, **settings):
        super().__init__(classifier, **settings)
        self.power = power

    def map(self, activations, gradients):
        return (gradients.clamp(min=0) * activations).sum(1) ** self.power


def corner(image, targets, classifier):
    return [[[0.0, 0.0], [0.0, 1.0]] for _ in targets]


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """The current folder, with photo.png and the module mynetwork; the photograph's pixels."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mynetwork.py").write_text(
        "from tests import small_network\ndef build():\n    return small_network.network()\n"
    )
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    return pixels


def test_the_door_says_what_the_command_says(photo):
    found = explain("photo.png", methods=["gradcam", "center"], top=2, **OWN)
    words = ["--model", "mynetwork:build", "--mean", ".5", ".5", ".5", "--std", ".25", ".25", ".25", *OWN["settings"]]
    assert command(["photo.png", *words, "--method", "gradcam", "center", "--top", "2", "--json", "x.json"]) == 0
    with open("x.json", encoding="utf-8") as stream:
        assert found.report("mynetwork:build") == json.load(stream)
    assert found.maps["Center"] == [None, None]
    assert found.points["Center"] == [(30, 20)] * 2
    found.save("door/x.png")
    with Image.open("door/x.png") as one, Image.open("photo-explained.png") as other:
        assert np.array_equal(np.asarray(one), np.asarray(other)), "one figure, the command's"
    assert found._repr_png_()[:4] == b"\x89PNG"


def test_maps_scores_and_probabilities_are_the_network_s(photo):
    (found,) = explain(["photo.png"], methods="gradcam", classes=[3, 1], **OWN)
    pixels = Image.fromarray(photo).resize((32, 32), Image.Resampling.BILINEAR)
    pixels = (torch.from_numpy(np.asarray(pixels)).movedim(-1, 0) / 255 - 0.5) / 0.25
    net = small_network.network().eval()
    output = net(pixels[None])[0]
    assert found.targets == [3, 1]
    assert found.scores == pytest.approx(output[[3, 1]].tolist(), abs=1e-3)
    assert found.kind == "softmax"
    assert found.probabilities == pytest.approx(output.softmax(0)[[3, 1]].tolist(), abs=1e-4)
    assert found.places == [int((output > output[k]).sum()) + 1 for k in (3, 1)]
    (heat,) = [small_network.gradcam(net, pixels, 3).numpy()]
    assert np.maximum(found.maps["GradCAM"][0], 0) == pytest.approx(heat, abs=1e-3 * max(1, heat.max()))


def test_a_network_of_many_labels_has_probabilities_of_a_sigmoid(photo):
    found = explain("photo.png", "resnet50", [corner], top=3, settings=["model.variant=demo"])
    assert found.kind == "sigmoid"
    assert found.probabilities == pytest.approx([1 / (1 + np.exp(-score)) for score in found.scores], rel=1e-4)
    assert found.places == [1, 2, 3]
    assert found.count == 20


def test_files_folders_arrays_and_batches_are_one(photo, tmp_path):
    (tmp_path / "more").mkdir()
    for name in ("b.png", "a.png"):
        Image.fromarray(photo).save(tmp_path / "more" / name)
    tensor = torch.from_numpy(photo).movedim(-1, 0)
    one = explain("photo.png", methods=[corner, Power], **OWN)
    assert list(one.answers) == ["corner", "Power"]
    for given in (photo, photo / 255, tensor, tensor.float() / 255, Image.fromarray(photo)):
        other = explain(given, methods=[corner, Power], **OWN)
        assert other.points == one.points
        assert np.array_equal(other.maps["Power"][0], one.maps["Power"][0])
        assert (other.picture, other.size) == ("picture", (60, 40))
    assert [each.picture for each in explain("more", methods=corner, **OWN)] == ["a.png", "b.png"]
    several = explain([photo, "photo.png", "more"], methods=corner, **OWN)
    assert [each.picture for each in several] == ["picture-1", "photo.png", "a.png", "b.png"]
    assert [each.picture for each in explain(tensor[None], methods=corner, **OWN)] == ["picture-1"]


@pytest.mark.parametrize(
    ("photo_given", "more", "said"),
    [
        ("gone.png", {}, "there is no picture gone.png"),
        (np.zeros((3, 40, 60)), {}, r"an array of shape \(3, 40, 60\) is no picture"),
        (3, {}, "int is no picture"),
        ("photo.png", {"classes": "dgo"}, "there is no class 'dgo'"),
        ("photo.png", {"methods": [corner, corner]}, "two of the methods are called corner"),
        ("photo.png", {"methods": [lambda image, targets, classifier: None]}, "method <lambda>: .* returned None"),
    ],
)
def test_mistakes_are_named(photo, photo_given, more, said):
    with pytest.raises((ValueError, FileNotFoundError), match=said):
        explain(photo_given, **{"methods": [corner], **OWN, **more})
