"""scripts.explain: the points are those of a run, photographs stand upright, and mistakes are one line."""

import json
import subprocess
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from eval.files.places import ROOT
from eval.networks.class_map import imagenet_classes
from eval.running.config import load
from eval.running.job import evaluate_job
from eval.tables.frame import frame_of
from scripts.explain.__main__ import main as explain
from scripts.explain.network import meaning, names_in
from scripts.explain.pictures import photograph
from scripts.layers import main as layers


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with photo.png and mynetwork.py: a network of five classes."""
    monkeypatch.chdir(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(pixels).save("photo.png")
    (tmp_path / "mynetwork.py").write_text(
        "from tests import small_network\n"
        "def build():\n    return small_network.network()\n"
        "def number():\n    return 5\n"
        "def quarter(image, targets, classifier):\n"
        "    return [[[0.0, 0.0], [0.0, 1.0]] for _ in targets]\n"
        "def none(image, targets, classifier):\n    return None\n"
    )
    (tmp_path / "empty").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


OWN = [
    "photo.png",
    "--model",
    "mynetwork:build",
    "protocol.input.side=32",
    "model.mean=[.5,.5,.5]",
    "model.std=[.25,.25,.25]",
]


def test_the_point_of_a_scene_is_that_of_a_run(folder, capsys):
    evaluate_job(load(["method=layercam", "limit=1", "dataset.build.count=1", "compare=false", "results=results"]))
    row = frame_of("results/records").iloc[0]
    assert explain(["--class", row["label"], "--method", "layercam", "--json", "x.json", "--out", "x.png"]) == 0
    actual = json.loads((folder / "x.json").read_text())
    (answer,) = actual["answers"]
    assert (answer["x"], answer["y"]) == (row["x"], row["y"])
    assert actual["classes"][0]["place"] == row["rank"] + 1
    assert f"place {int(row['rank']) + 1} of 20" in capsys.readouterr().out, "the screen and the file count from 1"
    assert actual["classes"][0]["score"] == pytest.approx(row["score"], abs=1e-3)


def test_ones_own_network_method_and_classes(folder, capsys):
    (folder / "names.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    options = ["--classes", "names.txt", "--class", "DOG", "1", "--method", "gradcam", "mynetwork:quarter", "center"]
    assert explain([*OWN, *options, "--json", "-"]) == 0
    printed = capsys.readouterr()
    actual = json.loads(printed.out)
    assert "cam 2; gpnncam 2, 1, 0" in printed.err, "the layers that the rule chose"
    assert [each["class"] for each in actual["classes"]] == ["dog", "bee"]
    assert actual["size"] == [60, 40]
    quarter = [each for each in actual["answers"] if each["method"] == "quarter"]
    assert len(quarter) == 2
    assert all(each["x"] >= 30 and each["y"] >= 20 for each in quarter), "in the photograph's own pixels"
    assert quarter[0]["map"] == [[0, 0], [0, 1]]
    centre = next(each for each in actual["answers"] if each["method"] == "Center")
    assert (centre["x"], centre["y"], centre["map"]) == (30, 20, None)
    assert (folder / "photo-explained.png").exists()


@pytest.mark.parametrize("option", ["--layers", "--method", "--class", "--mean", "--std"])
def test_a_setting_behind_any_option_is_a_setting(folder, capsys, option):
    words = {"--layers": ["1", "0"], "--method": ["gradcam"], "--class": ["3", "1"]}
    words |= {"--mean": [".5", ".4", ".3"], "--std": [".2", ".2", ".3"]}
    answers = []
    for behind in ("", option):
        told = [each for name, given in words.items() for each in (name, *given, *[OWN[3]] * (name == behind))]
        assert explain([*OWN[:3], *([] if behind else [OWN[3]]), *told, "--json", "-"]) == 0, capsys.readouterr().err
        answers.append(json.loads(capsys.readouterr().out)["answers"])
    assert answers[0] == answers[1]
    assert np.shape(answers[0][0]["map"]) == (8, 8), "layer 1 at the side that the setting names"


def test_a_word_of_a_class_map_is_a_class_of_several_outputs(folder, capsys):
    (folder / "map.json").write_text('{"pet": [1, 3], "fish": 4}')
    (folder / "names.txt").write_text("ant\nbee\ncat\ndog\neel\n")
    options = ["model.class_map=map.json", "--classes", "names.txt", "--method", "gradcam", "--json", "x.json"]
    assert explain([*OWN, *options, "--class", "pet", "dog"]) == 0
    assert "of 5, the best of 2 outputs" in capsys.readouterr().out
    pet, dog = json.loads((folder / "x.json").read_text())["classes"]
    assert (pet["class"], pet["index"], dog["index"]) == ("pet", 5, 3)
    assert pet["place"] <= dog["place"]
    assert pet["probability"] > dog["probability"] > 0
    assert pet["score"] > dog["score"], "the logarithm of the sum of two exponentials"
    assert explain([*OWN, *options, "--class", "pat"]) == 1
    assert "there is no class 'pat'" in capsys.readouterr().err


def test_imagenet_s_networks_know_the_words_of_voc_and_coco():
    names = tuple(imagenet_classes().values())
    dogs = meaning(SimpleNamespace(classes=names, outputs=[[i] for i in range(1000)]), "dog", None)
    assert {names[index] for index in dogs} >= {"beagle", "pug", "Siberian husky"}
    other = SimpleNamespace(classes=names[:5], outputs=[[i] for i in range(5)])
    assert meaning(other, "dog", None) is None
    assert meaning(SimpleNamespace(classes=names, outputs=[[0]] * 1000), "dgo", None) is None


def test_a_photograph_stands_upright_and_a_large_one_keeps_its_pixels(folder):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("RGB", (30, 20), (255, 0, 0)).save("turned.jpg", exif=exif)
    assert photograph(folder / "turned.jpg").size == (20, 30)
    with Image.open("photo.png") as image:
        image.resize((2400, 1600)).save("large.png")
    assert explain(["large.png", *OWN[1:], "--method", "mynetwork:quarter", "--json", "x.json"]) == 0
    (answer,) = json.loads((folder / "x.json").read_text())["answers"]
    assert 1700 < answer["x"] < 2400
    assert 1100 < answer["y"] < 1600


def test_several_photographs_and_folders(folder, capsys):
    (folder / "more").mkdir()
    for name in ("photo.png", "b.jpg"):
        Image.open("photo.png").convert("RGB").save(folder / "more" / name)
    (folder / "more" / "note.txt").write_text("")
    options = ["--method", "mynetwork:quarter", "--json", "x.json", "--out", "figures"]
    assert explain(["photo.png", "more", *OWN[1:], *options]) == 0
    answers = json.loads((folder / "x.json").read_text())
    assert [answer["picture"] for answer in answers] == ["photo.png", "more/b.jpg", "more/photo.png"]
    figures = sorted(path.name for path in (folder / "figures").iterdir())
    assert len(figures) == 3
    assert all(name.endswith("-explained.png") for name in figures)
    (folder / "more" / "b.jpg").write_bytes(b"no picture")
    assert explain(["photo.png", "more", *OWN[1:], *options]) == 1
    assert "1 of 3 photographs have no figure: " in capsys.readouterr().err
    assert len(json.loads((folder / "x.json").read_text())) == 2


def test_without_a_connection_the_message_names_a_network_that_needs_none(folder, capsys, monkeypatch):
    from eval.networks import checkpoint

    def offline(*_):
        raise RuntimeError("the weights could not be downloaded")

    monkeypatch.setattr(checkpoint, "download", offline)
    monkeypatch.setattr(checkpoint.torch.hub, "get_dir", lambda: str(folder / "hub"))
    assert explain(["photo.png", "--method", "gradcam"]) == 1
    assert "--model efficientnet_lite0 needs no connection" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gone.jpg"], "there is no picture gone.jpg"),
        (["empty"], "empty is a folder without pictures"),
        (["photo.png", "photo.png", "--out", "one.png"], "--out one.png is one file for 2 photographs; name a folder"),
        (["mynetwork.py"], "is no picture in a known format"),
        (["--method", "gradcm"], "there is no method=gradcm; near names: gradcam"),
        (["--model", "resnt50"], "there is no model=resnt50; near names: resnet50"),
        (["--class", "skul"], "there is no class 'skul'; near names: skull"),
        (["--top", "21"], "--top must be a whole number from 1 to 20"),
        (["--scene", "340"], "--scene must be a whole number from 0 to 339"),
        (OWN[:4], "nobody knows how its pixels are normalised"),
        (OWN[:4], "; here --mean R G B --std R G B"),
        (["photo.png", "--model", "torchvision:convnext_tny"], "no classification network 'convnext_tny'; near"),
        (["photo.png", "--model", "nowhere:build"], "there is no module 'nowhere'; PYTHONPATH=DIR says where it lies"),
        (["photo.png", "--model", "mynetwork:biuld"], "mynetwork has no 'biuld'; near names: build"),
        (["photo.png", "--model", "mynetwork:number"], "returns a int, no torch.nn.Module"),
        ([*OWN, "--layers", "9"], "the network has no layer '9'"),
        ([*OWN, "--method", "mynetwork:none"], "method mynetwork:none: the method returned None; it must return maps"),
        ([*OWN, "--classes", "mynetwork.py"], "the network has 5 outputs, --classes names"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(folder, arguments, said, capsys):
    assert explain(arguments) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert said in error


def test_layers_are_listed_with_shapes_and_uses(capsys, folder):
    assert layers([]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "(512, 7, 7)  <- cam, gpnncam, relevance" in lines["layer4"]
    assert "(256, 14, 14)  <- gpnncam" in lines["layer3"]
    assert list(lines).index("layer3") < list(lines).index("layer4.0")
    assert "layer4.0.conv1" not in lines
    assert layers(["--depth", "3"]) == 0
    assert "layer4.0.conv1" in capsys.readouterr().out
    assert layers(["model=custom", "model.build._target_=mynetwork.build"]) == 0, "before any layer is named"
    assert "(12, 28, 28)" in capsys.readouterr().out, "at the protocol's side"
    assert layers(["model=custom"]) == 1
    assert "model.build._target_ is not set: a callable that returns the network" in capsys.readouterr().err
    assert layers(["--model", "mynetwork:build", "protocol.input.side=32", "--depth", "1"]) == 0
    assert "<- cam, gpnncam" in capsys.readouterr().out, "the rule's"
    assert layers(["--model", "torchvision:vgg11", "--depth", "1"]) == 0
    marked = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "gpnncam" in line]
    assert len(marked) == 3
    assert all(name.startswith("features.") for name in marked), "deeper than --depth, but marked"
    assert layers(["--model", "torchvision:resnet5"]) == 1
    assert "near names: resnet50" in capsys.readouterr().err


def two_hills(image, targets, classifier):
    """A spike that a smoothing levels, and a broad hill that stays."""
    heat = torch.zeros(40, 40)
    heat[5, 5] = 2
    heat[20:36, 20:36] = 1
    return heat.expand(len(targets), -1, -1)


def test_a_methods_own_smoothing_decides_its_point_as_in_a_run():
    from eval.running.config import load
    from scripts.explain.explained import Method, answers_of
    from tests.small_network import classifier
    from tests.test_sample import sample

    points = []
    for share in (0.0, 0.1):
        own = ["method=custom", "method.build._target_=tests.test_explain.two_hills", f"+method.smooth={share}"]
        cfg = load(["protocol.input.side=40", *own])
        shown = sample([(0, 0, 5, 5)], size=(40, 40))
        ((answer, _),) = answers_of(Method("hills", cfg.method), classifier(), shown, [0], shown.image, cfg)
        points.append((answer.x, answer.y))
    assert points[0] == (5, 5)
    assert min(points[1]) > 20


@pytest.mark.parametrize(
    "data",
    [
        b"cat\ndog\nb\xc3\xa9b\xc3\xa9\n",
        b"\xef\xbb\xbfcat\r\ndog\r\n\r\nb\xc3\xa9b\xc3\xa9\r\n",
        "cat\ndog\nbébé\n".encode("utf-16"),
        b"0 cat\n1 dog\n2 b\xc3\xa9b\xc3\xa9\n",
        b"0: cat\n1: dog\n2: b\xc3\xa9b\xc3\xa9\n",
        b'["cat", "dog", "b\\u00e9b\\u00e9"]',
        b'{"0": "cat", "1": "dog", "2": "b\\u00e9b\\u00e9"}',
        b'{"model_type": "vit", "id2label": {"0": "cat", "2": "b\\u00e9b\\u00e9", "1": "dog"}}',
    ],
)
def test_names_of_classes_in_every_usual_file(tmp_path, data):
    (tmp_path / "classes").write_bytes(data)
    assert names_in(tmp_path / "classes") == ["cat", "dog", "bébé"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"cat\nb\xe9b\xe9\n", "is no UTF-8"),
        ("cat\ndog\n".encode("utf-16-le"), "zero bytes"),
        (b"\n \n", "names no class"),
        (b'{"0": "cat", "2": "dog"}', "does not number its classes 0, 1, 2"),
        (b'[["cat"]]', "no list of class names"),
        (b'["cat"', "no readable JSON"),
    ],
)
def test_files_of_names_that_cannot_be_read_are_named(tmp_path, data, said):
    (tmp_path / "classes").write_bytes(data)
    with pytest.raises(ValueError, match=said) as raised:
        names_in(tmp_path / "classes")
    assert "classes" in str(raised.value)


def test_git_ignores_the_figures():
    """They lie in the checkout where the command runs there."""
    done = subprocess.run(["git", "check-ignore", "photo-explained.png"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode == 128:
        pytest.skip("no checkout of git")
    assert done.returncode == 0
