"""Class maps: the shipped ones against WordNet's order and a hand-made list, a user's own, and what is refused."""

import json
from pathlib import Path

import pytest
import torch
from torchvision.models._meta import _IMAGENET_CATEGORIES as NAMES

from eval.datasets.voc import CLASSES as VOC
from eval.networks.class_map import FOLDER, imagenet_classes, outputs
from eval.networks.classifier import Classifier
from scripts.maintain import make_class_maps

KIT = Path(__file__).parents[2] / "shared" / "data" / "real"
WORDNET = Path("/usr/share/wordnet")


def shipped(data):
    return json.loads((FOLDER / f"{data}_to_imagenet.json").read_text())


def test_imagenet_is_torchvisions_order():
    table = imagenet_classes()
    assert list(table.values()) == NAMES
    assert list(table) == sorted(set(table))
    # Fixed points of ILSVRC2012 from its documentation.
    assert [list(table).index(s) for s in ("n01440764", "n02123045", "n02412080", "n04604644", "n15075141")] == [
        0, 281, 348, 912, 999,
    ]  # fmt: skip


@pytest.mark.skipif(not KIT.is_dir(), reason="the list of synsets to compare with is not at hand")
def test_synsets_are_ilsvrcs():
    listed = [line.split()[0] for line in (KIT / "imagenet_synsets.txt").read_text().splitlines()]
    assert list(imagenet_classes()) == listed


@pytest.mark.skipif(not KIT.is_dir(), reason="the hand-made map to compare with is not at hand")
def test_coco_agrees_with_a_map_made_by_hand():
    """Never an output less, and what is more is named here."""
    by_hand = json.loads((KIT / "coco_to_imagenet.json").read_text())
    more = set()
    for name, entry in shipped("coco").items():
        assert set(by_hand.get(name, [])) <= set(entry["outputs"]), name
        more |= {f"{name}: {NAMES[i]}" for i in set(entry["outputs"]) - set(by_hand.get(name, []))}
    loose = {f"{name}: {word}" for name, entry in shipped("coco").items() for word in entry.get("loose", {})}
    assert more == {
        "train: streetcar", "boat: pirate", "bottle: water jug", "bottle: whiskey jug", "keyboard: typewriter keyboard",
        "oven: rotisserie", "book: book jacket", "book: comic book",
    }  # fmt: skip
    assert more <= loose


@pytest.mark.skipif(not (WORDNET / "data.noun").is_file(), reason="WordNet 3.0 (wordnet-base) is not installed")
def test_the_maps_are_what_wordnet_gives(tmp_path):
    make_class_maps.main([str(WORDNET), "--out", str(tmp_path)])
    for path in tmp_path.iterdir():
        assert path.read_text() == (FOLDER / path.name).read_text()


@pytest.mark.parametrize("data", ["voc", "coco"])
def test_shipped_maps_are_consistent(data):
    entries = shipped(data)
    assert len(entries) == {"voc": 20, "coco": 80}[data]
    taken = {}
    for name, entry in entries.items():
        assert entry["outputs"] == sorted(set(entry["outputs"]))
        assert all(0 <= i < 1000 for i in entry["outputs"])
        assert bool(entry["outputs"]) != bool(entry.get("none"))
        assert {NAMES.index(word) for word in entry.get("loose", {})} <= set(entry["outputs"])
        for i in entry["outputs"]:
            assert taken.setdefault(i, name) == name, f"{NAMES[i]} stands for two classes"
    assert entries["dog"]["outputs"] == list(range(151, 269))
    assert len(entries["bird"]["outputs"]) == 59
    assert 21 in entries["bird"]["outputs"]  # the kite is a bird
    assert entries["person"]["outputs"] == []


def test_voc_knows_the_data_sets_classes():
    actual = outputs(VOC, "imagenet", 1000)
    assert [i for i, o in enumerate(actual) if not o] == [VOC.index("person")]
    assert actual == outputs(VOC, "voc_to_imagenet", 1000)


def test_coco_by_the_same_name():
    names = list(shipped("coco"))
    assert outputs(names, "imagenet", 1000) == outputs(names, "coco_to_imagenet")


def test_classes_with_two_meanings_must_choose():
    assert outputs(["dog", "cat"], "imagenet")[0] == list(range(151, 269))
    with pytest.raises(ValueError, match=r"ambiguous.*coco_to_imagenet, voc_to_imagenet"):
        outputs(["car"], "imagenet")


def test_a_class_that_a_map_leaves_out_has_no_output(tmp_path):
    (tmp_path / "m.json").write_text('{"a": 3, "zebra": 0}')
    assert outputs(["a", "giraffe"], tmp_path / "m.json", 4) == [[3], []]


def test_without_a_map_outputs_are_classes():
    assert outputs(["a", "b"], None, 2) == [[0], [1]]
    with pytest.raises(ValueError, match=r"1000 outputs, the data set 2 classes; set model\.class_map=FILE"):
        outputs(["a", "b"], None, 1000)


@pytest.mark.parametrize(
    ("name", "text"),
    [("m.json", '{"a": 3, "b": [1, 2], "c": {"outputs": []}, "more": 9}'), ("m.yaml", "a: 3\nb: [1, 2]\nc: []\n")],
)
def test_a_file_of_ones_own(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert outputs(["c", "b", "a"], tmp_path / name, 4) == [[], [1, 2], [3]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{a: 3, beee: 1}", r"does not say what stands for 'bee', but has 'beee'.*say so: \[\]"),
        ("{cow: 3}", "no class of the data set has an output"),
        ("{a: 3, bee: 4}", r"class 'bee': output 4, but the network has 4 outputs"),
        ("{a: 3, bee: -1}", "class 'bee': output -1"),
        ("{a: 3, bee: [1, 1]}", "class 'bee': an output is listed twice"),
        ("{a: 3, bee: cow}", "class 'bee': 'cow' is no list"),
        ("{a: 3, bee: [true]}", "class 'bee'"),
        ("{a: 3, bee: 1.0}", "class 'bee'"),
        ("{a: [], bee: []}", "no class of the data set has an output"),
        ("[1, 2]", "must map class names"),
        ("{a: 3", "no readable YAML"),
        ("!!python/object/apply:os.system ['true']", "no readable YAML"),
        ("\xff\xfe".encode("latin-1"), "no readable YAML"),
    ],
)
def test_what_is_no_map_is_named(tmp_path, text, said):
    path = tmp_path / "m.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=rf"m\.yaml.*{said}"):
        outputs(["a", "bee"], path, 4)


def test_an_unknown_map_is_named():
    with pytest.raises(FileNotFoundError, match=r"there is no file .*imagnet; built in are imagenet, coco_to_imagenet"):
        outputs(["a"], "imagnet", 4)
    with pytest.raises(
        ValueError, match=r"VOC, of COCO and of ImageNet, not 'golden retriver' \(near names: golden re"
    ):
        outputs(["dog", "golden retriver"], "imagenet", 1000)


def test_imagenets_own_classes_are_known_by_name_and_by_synset():
    assert outputs(["golden retriever", "n02099601", "dog"], "imagenet", 1000) == [[207], [207], list(range(151, 269))]
    own = imagenet_classes()
    assert outputs(list(own.values()), "imagenet", 1000) == outputs(list(own), "imagenet") == [[i] for i in range(1000)]
    # A vocabulary of ImageNet's own words means one output each; beside a word of COCO's, "dog" is every breed.
    assert outputs(["crane", "teapot"], "imagenet", 1000) == [[NAMES.index("crane")], [NAMES.index("teapot")]]
    with pytest.raises(ValueError, match="'car' means something else in coco_to_imagenet and in voc_to_imagenet"):
        outputs(["car", "golden retriever"], "imagenet", 1000)


def test_the_score_is_the_logsumexp_of_the_outputs():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 6))
    classifier = Classifier(network, [0] * 3, [1] * 3, {}, ["a", "b"], outputs=[[1, 4], [2]])
    output = torch.randn(2, 6)
    expected = (output[:, 1].exp() + output[:, 4].exp()).log()
    assert torch.allclose(classifier.score(output, 0), expected)
    assert torch.equal(classifier.score(output, 1), output[:, 2])
    assert classifier.rank(torch.tensor([[0.0, 5, 9, 1, 7, 8]]), 0) == 2
