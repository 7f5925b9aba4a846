"""Weights from files and the cache: what loads, what is refused, what the message names."""

import hashlib
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from eval.networks import checkpoint, imagenet
from eval.networks.checkpoint import fetch, fill, read


def network(classes=4):
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, classes))


@pytest.fixture
def state():
    torch.manual_seed(0)
    return network().state_dict()


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {"state_dict": s, "epoch": 3},
        lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
        lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
        lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
    ],
    ids=["plain", "training", "parallel", "old", "half"],
)
def test_the_layouts_in_circulation_load(tmp_path, state, wrap):
    torch.save(wrap(state), tmp_path / "w.pth")
    with torch.device("meta"):
        empty = network()
    actual = fill(empty, read(tmp_path / "w.pth"), "w.pth")
    pixels = torch.rand(1, 3, 4, 4)
    expected = network()
    expected.load_state_dict(state)
    assert torch.allclose(actual(pixels), expected.eval()(pixels), atol=1e-3)
    assert not actual.training
    assert all(v.dtype == torch.float32 for v in actual.parameters())


def test_safetensors_load(tmp_path, state):
    save_file(state, tmp_path / "w.safetensors")
    assert torch.equal(read(tmp_path / "w.safetensors")["0.weight"], state["0.weight"])


class Evil:
    def __reduce__(self):
        return (open, ("ran", "w"))


def write(path, kind):
    if kind == "html":
        path.write_bytes(b"\n<!DOCTYPE html><html><body>404</body></html>")
    elif kind == "code":
        torch.save({"weight": torch.ones(1), "extra": Evil()}, path)
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    elif kind == "module":
        torch.save(network(), path)
    elif kind == "truncated":
        torch.save({"weight": torch.ones(1000)}, path)
        path.write_bytes(path.read_bytes()[:700])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("version https://git-lfs.github.com/spec/v1\n")
    elif kind == "list":
        torch.save([torch.ones(1)], path)
    elif kind == "numbers":
        torch.save({"weight": 3}, path)
    elif kind == "nothing":
        torch.save({}, path)


KINDS = ["html", "code", "pickle", "module", "truncated", "empty", "text", "list", "numbers", "nothing"]


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_checkpoint_is_named_and_runs_nothing(tmp_path, monkeypatch, kind, suffix):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / f"w.{suffix}", kind)
    with pytest.raises(ValueError, match=rf"w\.{suffix} (is|holds) "):
        read(tmp_path / f"w.{suffix}")
    assert not (tmp_path / "ran").exists()


def test_a_missing_file_names_the_setting(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"w\.pth; set model\.checkpoint=FILE"):
        read(tmp_path / "w.pth")


def test_what_does_not_fit_is_named(state):
    with pytest.raises(ValueError, match=r"w\.pth has 4 classes .3\.weight is 4 x 8., this network has 7"):
        fill(network(7), state, "w.pth")
    with pytest.raises(ValueError, match=r"0\.weight is 2 x 3 x 5 x 5 instead of 2 x 3 x 3 x 3"):
        fill(network(), state | {"0.weight": torch.ones(2, 3, 5, 5)}, "w.pth")
    with pytest.raises(ValueError, match=r"2 entries differ: 0\.weight is missing; odd is unexpected"):
        fill(network(), {("odd" if k == "0.weight" else k): v for k, v in state.items()}, "w.pth")
    with pytest.raises(ValueError, match=r"3\.bias contains NaN"):
        fill(network(), state | {"3.bias": torch.tensor([0, 1, 2, float("nan")])}, "w.pth")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty torch.hub cache; requests to the web are recorded and answered with b"weights"."""
    requests = []

    def download(url, target, digest):
        requests.append((url, digest))
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"weights")
        return target

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr(checkpoint, "download", download)
    return requests


def test_weights_are_cached_where_torch_hub_caches(hub, tmp_path):
    digest = hashlib.sha256(b"weights").hexdigest()[:8]
    url = f"https://example.org/weights/net-{digest}.pth.tar"
    for _ in range(2):
        assert fetch(url) == tmp_path / "hub" / "checkpoints" / f"net-{digest}.pth.tar"
    assert hub == [(url, digest)]


def test_damaged_cached_weights_are_named(hub, tmp_path):
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / "net-12345678.pth").write_bytes(b"torn")
    with pytest.raises(RuntimeError, match=r"net-12345678\.pth is damaged"):
        fetch("https://example.org/net-12345678.pth")
    assert hub == []


def test_weights_without_a_hash_are_not_fetched(hub):
    with pytest.raises(ValueError, match=r"carries no hash.*model\.checkpoint=FILE"):
        fetch("https://example.org/net.pth")
    assert hub == []


def test_without_a_network_the_message_names_the_setting(hub, monkeypatch):
    def down(url, *_):
        raise RuntimeError(f"{url} could not be downloaded")

    monkeypatch.setattr(checkpoint, "download", down)
    with pytest.raises(RuntimeError, match=r"vgg16_bn-6c64b313\.pth could not be downloaded.*model\.checkpoint=FILE"):
        imagenet.build("vgg16_bn")


@pytest.mark.parametrize("arch", ["vgg16", "vgg16_bn", "resnet50"])
@pytest.mark.parametrize("weights", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_the_named_weights_are_the_weights_fetched(arch, weights, monkeypatch):
    urls = []
    monkeypatch.setattr(imagenet, "fetch", lambda url: urls.append(url) or "here")
    monkeypatch.setattr(imagenet, "read", lambda path: {})
    if weights == "IMAGENET1K_V2" and arch != "resnet50":
        with pytest.raises(ValueError, match=r"has no weights 'IMAGENET1K_V2' for .*; it has IMAGENET1K_V1"):
            imagenet.build(arch, weights)
        return
    with pytest.raises(ValueError, match="here does not fit"):
        imagenet.build(arch, weights)
    assert urls == [
        models.get_weight(
            f"{ {'vgg16': 'VGG16', 'vgg16_bn': 'VGG16_BN', 'resnet50': 'ResNet50'}[arch] }_Weights.{weights}"
        ).url
    ]


@pytest.mark.parametrize("arch", ["resnet18", "squeezenet1_1", "regnet_y_400mf"])
def test_a_local_file_gives_the_same_network(arch, tmp_path):
    torch.manual_seed(0)
    expected = models.get_model(arch, weights=None).eval()
    torch.save(expected.state_dict(), tmp_path / "w.pth")
    pixels = torch.rand(1, 3, 64, 64)
    # The same weights with the channels innermost: sums in another order.
    torch.testing.assert_close(imagenet.build(arch, checkpoint=tmp_path / "w.pth")(pixels), expected(pixels))


def test_a_file_of_ones_own_classes(tmp_path):
    torch.save(models.resnet18(num_classes=7).state_dict(), tmp_path / "w.pth")
    assert imagenet.build("resnet18", checkpoint=tmp_path / "w.pth", classes=7)(torch.rand(1, 3, 64, 64)).shape == (
        1,
        7,
    )
    with pytest.raises(ValueError, match=r"has 7 classes .* this network has 1000"):
        imagenet.build("resnet18", checkpoint=tmp_path / "w.pth")


def test_an_unknown_network_is_refused():
    with pytest.raises(ValueError, match=r"no classification network 'vgg17'; near names: .*vgg16"):
        imagenet.build("vgg17")
