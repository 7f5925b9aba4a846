"""What of the code behind a setting is held, function by function; whole runs are in test_trust.py."""

import sys
from importlib.metadata import version

import pytest
from torch import nn

from eval.game.protocol import Input
from eval.networks.classifier import Classifier
from eval.running import identity, source_code
from eval.running.config import load
from eval.running.source_code import code_of
from gpnncam import GPNNCAM, MultiscaleCAM
from tests.small_network import network


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Writes modules of a user's own: mine({"name": source}) -> the folder."""
    monkeypatch.syspath_prepend(tmp_path)
    known = set(sys.modules)

    def write(modules: dict[str, str]):
        source_code._sources.cache_clear()
        for name, text in modules.items():
            path = tmp_path / f"{name}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    yield write
    source_code._sources.cache_clear()
    for name in set(sys.modules) - known:
        del sys.modules[name]


def held(target: str) -> list[str]:
    digests, notes = code_of({"_target_": target})
    assert notes == []
    return sorted(digests)


def test_a_module_of_ones_own_brings_along_what_it_imports_of_ones_own(mine):
    mine({
        "m_top": "import json\nimport torch\nimport m_plain\nfrom m_from import value\nfrom eval.game import region\n",
        "m_plain": "def f():\n    import m_inner  # only when called\n",
        "m_inner": "import m_top\n",
        "m_from": "value = 1\n",
        "m_other": "value = 1\n",
    })  # fmt: skip
    assert held("m_top.explain") == ["m_from", "m_inner", "m_plain", "m_top"]
    assert held("m_from.value") == ["m_from"]


def test_relative_imports_and_packages(mine):
    mine({
        "m_pack/__init__": "from . import one\n",
        "m_pack/one": "from .two import b\nfrom .deep.three import c\n",
        "m_pack/two": "b = 1\n",
        "m_pack/deep/__init__": "",
        "m_pack/deep/three": "from ..two import b\nfrom .. import four\nc = 1\n",
        "m_pack/four": "",
        "m_pack/unused": "",
    })  # fmt: skip
    all_of_it = ["m_pack", "m_pack.deep", "m_pack.deep.three", "m_pack.four", "m_pack.one", "m_pack.two"]
    assert held("m_pack.one.b") == all_of_it
    # A package's __init__ runs before its module does, and this one imports the rest.
    assert held("m_pack.deep.three.c") == all_of_it


def test_an_edit_changes_its_modules_digest_alone(mine):
    mine({"m_a": "import m_b\n", "m_b": "x = 1\n"})
    before = code_of({"_target_": "m_a.f"})[0]
    mine({"m_b": "x = 2\n"})
    after = code_of({"_target_": "m_a.f"})[0]
    assert before["m_a"] == after["m_a"]
    assert before["m_b"] != after["m_b"]
    assert all(len(digest) == 16 for digest in before.values())


def test_names_are_found_at_any_depth_and_other_texts_are_none(mine):
    mine({"m_deep": "", "m_list": ""})
    settings = {"_target_": "eval.datasets.demo.Demo", "a": [{"b": "m_deep.f"}, ["m_list.g"]], "c": "layer4.1", "d": 3}
    digests, notes = code_of(settings)
    assert sorted(digests) == ["eval.datasets.demo.Demo", "m_deep", "m_list"]
    assert digests["eval.datasets.demo.Demo"] == "version 1"
    assert notes == []
    assert code_of({"a": "no dots", "b": "m_deep", "c": "path/to.file", "d": None}) == ({}, [])
    assert "layer4" not in sys.modules


def test_versions_of_this_suite_and_of_packages_and_of_nothing():
    assert code_of("baselines.cam.CAM")[0] == {"baselines.cam.CAM": "version 1"}
    assert code_of(["eval.networks.demo.vgg16", "gpnncam.cam.Nothing"]) == ({}, []), "no version, nothing to hold"
    assert code_of("torch.nn.Linear")[0] == {"torch": f"torch {version('torch')}"}
    assert code_of("json.loads") == ({}, []), "Python's own version stands in the provenance"
    assert code_of("nowhere.at.all") == ({}, [])


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("import baselines.cam\n", True),
        ("import baselines.cam as ours\n", True),
        ("from baselines import cam\n", True),
        ("from baselines.cam import *\n", True),
        ("def f(c):\n    import baselines.cam\n    return baselines.cam.CAM(c)\n", True),
        ("import baselines\ndef f(c):\n    return baselines.cam.CAM(c)\n", True),
        ("from baselines.cam import FORMULAS\n", False),
        ("import baselines\n", False),
    ],
)
def test_a_module_of_ours_that_is_imported_whole_stands_for_its_callables(mine, text, inside):
    mine({"m_whole": text})
    digests, _ = code_of({"_target_": "m_whole.f"})
    assert (digests.get("baselines.cam.CAM") == "version 1") == inside
    assert ("grad-cam" in digests) == inside, "the library that computes its maps comes along"
    assert not any("module" in digest for digest in digests.values()), "torch.version is no version of ours"


def test_a_package_of_ours_stands_for_what_it_exports(mine):
    mine({"m_package": "import gpnncam as g\n"})
    digests, _ = code_of({"_target_": "m_package.f"})
    assert digests["gpnncam.GPNNCAM"] == f"version {GPNNCAM.version}"
    assert digests["gpnncam.MultiscaleCAM"] == f"version {MultiscaleCAM.version}"


def test_what_has_no_source_is_said(mine):
    folder = mine({"m_compiled": "x = 1\n"})
    import m_compiled  # noqa: F401

    (folder / "m_compiled.py").unlink()
    digests, notes = code_of("m_compiled.f")
    assert digests == {}
    assert notes == ["the code of m_compiled cannot be read, so a change of it is not seen"]


def test_places_are_left_out_by_their_path_alone():
    kept = identity._without({"root": 1, "inner": {"root": 2, "x": 3}, "x": {"root": 4}}, ("root", "inner.x"))
    assert kept == {"inner": {"root": 2}, "x": {"root": 4}}
    assert identity._without({"generator": 5}, ("generator.cache",)) == {"generator": 5}
    assert identity._normal({"layers": "layer4"}) == identity._normal({"layers": ["layer4"]}) == {"layers": ["layer4"]}
    assert identity._normal({"x": 1}) == {"x": 1}


def test_files_that_settings_name_count_by_content_and_folders_are_said(tmp_path):
    (tmp_path / "a.pt").write_text("one")
    (tmp_path / "b.pt").write_text("one")
    notes: list[str] = []
    settings = {"w": str(tmp_path / "a.pt"), "deep": {"v": [str(tmp_path / "b.pt")]}, "no": "a.pt", "long": "x" * 5000}
    actual = identity._files(settings, "method.build", notes)
    assert sorted(actual) == ["method.build.deep.v.0", "method.build.w"]
    assert len(set(actual.values())) == 1
    (tmp_path / "b.pt").write_text("two")
    assert len(set(identity._files(settings, "method.build", notes).values())) == 2
    assert notes == []
    assert identity._files({"_target_": str(tmp_path / "a.pt"), "where": str(tmp_path), "": ""}, "m", notes) == {}
    assert notes == [f"m.where names the folder {tmp_path}, whose content no identity holds"]


def test_an_identity_holds_every_part_and_no_place():
    classes = [f"c{i}" for i in range(5)]
    layers = {"cam": ["2"], "gpnncam": ["2", "1"]}
    cfg = load(["method=gradcam", "dataset=demo"])
    classifier = Classifier(network(), [0.5] * 3, [0.25] * 3, layers, classes)
    classifier.layers["cam"]
    who, notes = identity.identity(cfg, cfg.method, lambda: None, classifier, classes)
    assert notes == []
    assert who["dataset"]["code"] == {"eval.datasets.demo.Demo": "version 1"}
    assert who["model"]["layers"] == {"cam": ["2"]}, "the method reads no other"
    assert {"name", "weights", "outputs", "mean", "std", "layers", "build"} <= who["model"].keys()
    assert "checkpoint" not in who["model"]["build"]
    assert who["method"]["code"] == {"baselines.cam.CAM": "version 1"}
    assert who["input"]["side"] == Input().side
    assert who["seed"] == 0
    blind = load(["method=center", "dataset=demo"])
    alone, _ = identity.identity(blind, blind.method, lambda: None, None, classes)
    assert alone["model"] is alone["input"] is None
    assert alone["method"]["blind"] is True
    with pytest.raises(ValueError, match=r"has no network for nothing; it has .*model=custom"):
        identity.network_settings(load(["model=vgg16", "model.variant=nothing"]))


@pytest.mark.parametrize("network", [nn.Identity(), nn.Conv2d(3, 3, 1)])
def test_a_network_that_shows_no_weights_is_said(network):
    classifier = Classifier(network, (0, 0, 0), (1, 1, 1), {}, ["a"])
    _, notes = identity.network_identity(load(["model=resnet50"]), classifier)
    assert [note for note in notes if "shows no weights" in note] == notes[: not network.state_dict()]
