"""Training of the built-in networks, on a handful of pictures: it learns, resumes and writes what it measured."""

import numpy as np
import pytest
import torch
from safetensors import safe_open

from eval.datasets import demo
from eval.datasets.demo import Demo
from eval.networks import demo as networks
from scripts.maintain.train_demo import pictures, training
from scripts.maintain.train_demo.__main__ import main
from scripts.maintain.train_demo.batches import crop_batches, normalised, scene_batches, window_truth
from scripts.maintain.train_demo.training import Stage


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(demo, "COUNTS", {"train": 24, "val": 6, "test": 6})


def test_arrays_are_the_pictures(cache):
    data = Demo("test")
    arrays = pictures.load(data, cache, jobs=1)
    assert arrays.pixels.shape == (6, 224, 224, 3)
    for index, sample in enumerate(data):
        assert np.array_equal(arrays.pixels[index], np.asarray(sample.image))
        shown, flagged = set(sample.labels[~sample.hard].tolist()), set(sample.labels.tolist())
        expected = [1 if c in shown else -1 if c in flagged else 0 for c in range(20)]
        assert arrays.truth[index].tolist() == expected
        rows = arrays.boxes[arrays.boxes[:, 0] == index]
        assert np.array_equal(rows[:, 2:], sample.boxes[~sample.hard])
    assert not list(cache.glob("*.part"))


def test_precision_of_known_scores(cache):
    arrays = pictures.load(Demo("test"), cache, jobs=1)
    perfect = torch.from_numpy(arrays.truth.astype(np.float32))
    answers = iter(perfect.split(20))
    with np.errstate(all="ignore"), pytest.warns(UserWarning, match="No positive class"):
        value = training.precision(lambda _images: next(answers), arrays, "cpu")
    present = (arrays.truth == 1).any(0).mean()
    assert value == pytest.approx(present)  # a class without a picture counts as 0


@pytest.mark.parametrize(("batches", "side"), [(crop_batches, 64), (scene_batches, 112), (scene_batches, 224)])
def test_batches_are_shuffled_varied_and_seeded(cache, batches, side):
    arrays = pictures.load(Demo("test"), cache, jobs=1)
    first, again, other = (next(batches(arrays, side, 3, seed)) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert first[0].shape == (3, 3, side, side)
    assert first[1].shape == ((3,) if batches is crop_batches else (3, 20))


def test_a_window_shows_what_lies_in_it():
    truth = np.zeros(20, np.int8)
    truth[[3, 5, 7]], truth[9] = 1, -1
    boxes = np.array([(3, 0, 0, 20, 20), (5, 90, 0, 130, 40), (7, 150, 150, 220, 220)])
    first = window_truth(truth, boxes, 0, 0, 112)
    assert [first[c] for c in (3, 5, 7, 9, 0)] == [1, -1, 0, -1, 0]  # 5 is cut in half, 7 is elsewhere
    assert window_truth(truth, np.array([(5, 90, 0, 130, 40), (5, 0, 0, 9, 9)]), 0, 0, 112)[5] == 1  # one of two whole
    large = np.array([(3, 0, 0, 224, 224)])
    assert window_truth(truth, large, 60, 60, 112)[3] == 1  # nothing but the object, though a quarter of it


@pytest.mark.parametrize("name", ["vgg16", "resnet50"])
def test_the_head_sees_an_object_in_a_larger_input_as_before(name):
    """An object alone on a ground without features: a quarter of the mean, four times the weight, the same answer."""
    torch.manual_seed(0)
    network = networks.VGG16() if name == "vgg16" else networks.ResNet50()
    head = (lambda f: network.classifier(f.repeat_interleave(49, 1))) if name == "vgg16" else network.fc
    features = torch.rand(5, 128 if name == "vgg16" else 512)
    if name == "vgg16":
        training.share(network.eval(), True)
        torch.nn.init.zeros_(network.classifier[0].bias)
    before = head(features)
    training.rescale(network, Stage("windows", 112, 1, 1, 1), Stage("scenes", 224, 1, 1, 1))
    torch.testing.assert_close(head(features / 4), before)
    training.rescale(network, Stage("crops", 64, 1, 1, 1), Stage("windows", 64, 1, 1, 1))
    after = head(features / 4)
    torch.testing.assert_close(after.mean(1), torch.full((5,), -2.5))


def test_a_tiny_training_learns_resumes_and_tells(cache, tmp_path, monkeypatch, capsys):
    stages = (Stage("crops", 64, 1, 8, 1e-3), Stage("windows", 112, 1, 8, 1e-3), Stage("scenes", 224, 1, 8, 1e-3))
    monkeypatch.setattr(training, "STAGES", {"resnet50": stages})
    command = ["--network", "resnet50", "--device", "cpu", "--cache", str(cache), "--out", str(tmp_path)]
    assert main(command) == 0
    file = tmp_path / "demo_resnet50.safetensors"
    with safe_open(file, "pt") as weights:
        metadata = weights.metadata()
        assert all(weights.get_tensor(key).dtype == torch.float16 for key in weights.keys())  # noqa: SIM118
    arrays = pictures.load(Demo("test"), cache, jobs=1)
    measured = training.precision(networks.resnet50(checkpoint=file), arrays, "cpu")
    assert float(metadata["test_map"]) == pytest.approx(measured, abs=1e-3)
    assert metadata["train_pictures"] == "24"
    assert metadata["last_stage"] == "scenes"
    written = file.read_bytes()
    assert main(command) == 0  # nothing is left to do
    assert "goes on after stage scenes" in capsys.readouterr().out
    assert file.read_bytes() == written


def test_the_loss_falls(cache):
    torch.manual_seed(0)
    arrays = pictures.load(Demo("test"), cache, jobs=1)
    arguments = type("Arguments", (), {"effort": 1.0, "device": "cpu"})
    network = networks.ResNet50()
    truth = torch.from_numpy(arrays.truth.astype(np.float32)).clamp(min=0)
    images = normalised(np.array(arrays.pixels))

    def loss():
        with torch.no_grad():
            return torch.nn.functional.binary_cross_entropy_with_logits(network.train()(images), truth).item()

    before = loss()
    training.fit(network, Stage("scenes", 224, 12, 6, 3e-3), arrays, arguments, label="few", seed=0)
    assert loss() < 0.6 * before


def test_sharing_places_and_parting_them_keep_the_function():
    torch.manual_seed(0)
    network = networks.VGG16(batch_norm=True).eval()
    training.share(network, True)
    images = torch.randn(2, 3, 224, 224)
    with torch.no_grad():
        shared, written = network(images), network.folded()(images)
        training.share(network, False)
        parted = network(images)
    assert isinstance(network.avgpool, torch.nn.AdaptiveAvgPool2d)
    torch.testing.assert_close(written, shared, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(parted, shared, rtol=1e-4, atol=1e-5)
