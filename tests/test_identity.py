"""Every part of a run's identity, by what happens when it changes: another identity, or the same."""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from eval.networks.classifier import Classifier
from eval.running import identity, source_code
from eval.running.build import build_method
from eval.running.config import load
from eval.running.measuring import build_measures
from eval.running.method_call import call
from eval.running.settings import plain
from eval.running.source_code import libraries_of
from tests.golden import CHEAP, Blind, classifier, picture
from tests.small_network import network
from tests.test_contract import CLASSES, METHODS, TRANSFORMERS, classifier_for

NAMES = [f"c{i}" for i in range(5)]
LAYERS = {"cam": ["2"], "gpnncam": ["2", "1"]}


def who(*overrides: str, classes=NAMES, layers=LAYERS, layouts=None, method: Callable = lambda: None, read="cam"):
    cfg = load(["dataset=demo", "method=gradcam", *overrides])
    seeing = None
    if not cfg.method.blind:
        seeing = Classifier(network(), [0.5] * 3, [0.25] * 3, layers, classes, layouts=layouts)
        seeing.layers[read]
    return identity.identity(cfg, cfg.method, method, seeing, classes)[0]


def test_seed_class_list_inputs_and_smoothing_are_parts():
    usual = who()
    assert who() == usual
    assert who("seed=1") != usual
    assert who(classes=NAMES[::-1]) != usual, "labels are indices into the class list"
    assert who("method=center", classes=NAMES[::-1]) != who("method=center")
    assert who("protocol.input.side=448") != usual
    assert who("+method.input.side=640") != usual
    assert who("+method.smooth=0.1") != usual
    assert who("method.name=other") != usual


def test_layers_that_a_users_method_could_read_are_parts_and_of_ours_those_that_it_reads():
    other = {"cam": ["2"], "gpnncam": ["2", "0"]}
    assert who(layers=other) == who(), "gradcam reads its own alone"
    assert who(layers=other, read="gpnncam") != who(read="gpnncam")
    own = ["method=custom", "method.build._target_=json.loads"]
    assert who(*own, layers=other) != who(*own), "nobody knows which of them a user's method reads"


def test_declared_layouts_are_a_part():
    last = {"2": {"channels": "last"}}
    assert who(layouts=last) != who()


def test_the_kind_of_device_is_a_part():
    usual = who()
    assert usual["device"] == "cpu"
    assert who("method=center")["device"] is None
    seeing = Classifier(network(), [0.5] * 3, [0.25] * 3, LAYERS, NAMES)
    seeing.device = torch.device("cuda", 1)
    cfg = load(["dataset=demo", "method=gradcam"])
    seeing.layers["cam"]
    moved = identity.identity(cfg, cfg.method, lambda: None, seeing, NAMES)[0]
    assert moved == usual | {"device": "cuda"}
    assert identity.network_identity(cfg, seeing)[0]["device"] == "cuda"


def test_files_of_methods_and_measures_count_by_content_and_words_do_not(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = ["method=custom", "method.build._target_=json.loads", "+method.build.weights=own.pt"]
    measured = ["measure=custom", "measure.custom._target_=eval.measures.road.ROAD", "+measure.custom.shares=[0.5]"]
    words = ["+method.build.act=torch.relu", "+method.build.how=softmax"]

    def parts():
        ours = who("method=finercam")
        settings = plain(load(measured).measure.custom) | {"noise": "own.pt"}
        return (
            ours,
            who(*own),
            who(*own, *words),
            identity.measure_identity(settings, build_measures(load(measured))["custom"].measure)[0],
        )

    (tmp_path / "own.pt").write_text("one")
    before = parts()
    for name in ("torch.relu", "softmax", "maximum", "probability", "GradCAM"):
        (tmp_path / name).write_text("a file of that name in the working folder")
    assert parts() == before
    (tmp_path / "own.pt").write_text("two")
    ours, mine, worded, measure = parts()
    assert ours == before[0]
    assert mine != before[1]
    assert worded != before[2]
    assert measure != before[3]


def test_places_and_speed_are_no_parts_at_any_depth():
    assert who("method=gpnncam", "method.build.batch=3", "+method.build.generator.cache=DIR") == who("method=gpnncam")
    assert who("method=gpnncam", "+method.build.generator.alpha=0.1") != who("method=gpnncam")
    inside = ["method=ensemble", "method@method.build.inner=gpnncam"]
    moot = ["method.build.inner.build.batch=3", "+method.build.inner.build.generator.cache=DIR"]
    assert who(*inside, *moot) == who(*inside)
    assert who(*inside, "method.build.inner.build.n=3") != who(*inside)
    faster = load(["measure=road", "measure.road.batch=3"])
    slower = load(["measure=road"])
    assert build_measures(faster)["road"].part == build_measures(slower)["road"].part
    own = ["method=custom", "method.build._target_=json.loads"]
    assert who(*own, "+method.build.batch=3") != who(*own), "nobody said that it changes speed alone"


SPEEDY = ("gpnncam", "rise", "scorecam", "ablationcam", "occlusion", "integrated_gradients", "extremal_perturbation")


@pytest.mark.parametrize("name", SPEEDY)
def test_what_is_called_speed_changes_no_map_but_for_rounding(name):
    def maps(batch: int) -> torch.Tensor:
        settings = load([f"method={name}", *CHEAP.get(name, []), f"method.build.batch={batch}"]).method
        return call(build_method(settings, classifier(), CLASSES), picture(), torch.tensor([0, 2]), seed=3)

    assert who(f"method={name}", "method.build.batch=1") == who(f"method={name}", "method.build.batch=7")
    one, seven = maps(1), maps(7)
    assert (one - seven).abs().max() <= 1e-4 * one.abs().max()


PACKAGES = {**source_code.LIBRARIES, "sklearn": "scikit-learn", "skimage": "scikit-image"}


@pytest.mark.parametrize("name", [each for each in METHODS if each != "custom"])
def test_the_libraries_that_a_method_names_are_those_whose_code_runs(name, tmp_path):
    for package in ("captum.attr", "zennit.core", "pytorch_grad_cam", "torchvision", "sklearn.decomposition"):
        importlib.import_module(package)  # what runs while a package is imported computes no map
    settings = load([f"method={name}", *CHEAP.get(name, [])]).method
    if name in ("maps", "other_picture"):
        settings.folder = str(tmp_path)
    if name == "other_picture":
        np.save(tmp_path / "c0.npy", np.eye(3))
    built = build_method(settings, None if settings.blind else _seeing(name), CLASSES)
    ran: set[str] = set()

    def watch(frame, event, _argument):
        _, installed, inside = frame.f_code.co_filename.rpartition("site-packages/")
        if event == "call" and installed:
            ran.add(inside.partition("/")[0])

    sys.setprofile(watch)
    try:
        call(built, Blind() if settings.blind else picture(), torch.tensor([0, 2]), seed=3)
    except LookupError:
        assert name == "maps"
    finally:
        sys.setprofile(None)
    named = libraries_of(plain(settings.build))
    assert set(named) == {PACKAGES[each] for each in ran & PACKAGES.keys()}


def _seeing(name: str) -> Classifier:
    return classifier_for(name) if name in TRANSFORMERS else classifier()


def test_another_version_of_a_library_is_another_run_of_who_uses_it(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "m_captum.py").write_text("import captum\nfrom baselines.cam import CAM\n")
    uses = {
        "grad-cam": ["method=gradcam"], "captum": ["method=occlusion"], "zennit": ["method=relevancecam"],
        "torchvision": ["model=torchvision", "model.arch=resnet18"], "timm": ["model=timm", "model.arch=resnet18"],
    }  # fmt: skip
    own = ["method=custom", "method.build._target_=m_captum.f"]
    inside = ["method=smoothgrad", "method@method.build.inner=gradcam"]
    before = {name: who(*each) for name, each in uses.items()}, who("method=gradcampp"), who(*own), who(*inside)
    assert who(*own)["method"]["code"].keys() == {"m_captum", "captum", "baselines.cam.CAM", "grad-cam"}
    monkeypatch.setattr(source_code, "_installed", lambda name: "another")
    after = {name: who(*each) for name, each in uses.items()}, who("method=gradcampp"), who(*own), who(*inside)
    assert all(before[0][name] != after[0][name] for name in uses)
    assert after[1] == before[1], "no code of a library computes its map"
    assert after[2] != before[2]
    assert after[3] != before[3]


@pytest.mark.parametrize("name", ["imagenet", "torchray", "timm_models", "openclip", "demo", "efficientnet_lite"])
def test_builders_of_networks_name_the_libraries_that_they_import(name):
    text = Path(identity.__file__).parents[1].joinpath("networks", f"{name}.py").read_text()
    imported = {
        package for package in source_code.LIBRARIES if f"import {package}\n" in text or f"from {package} " in text
    }
    named = getattr(importlib.import_module(f"eval.networks.{name}"), "libraries", ())
    own = ("efficientnet-lite-pytorch",) if name == "efficientnet_lite" else ()
    assert set(named) == {source_code.LIBRARIES[each] for each in imported} | {*own}


def test_maps_of_a_network_are_wanted_for_the_classes_that_it_answers():
    class Ready:
        def content(self):
            return "0" * 16

    maps = ["method=maps", "method.folder=DIR"]
    names = ["cat", "person"]
    cfg = load(["dataset=pascal", "dataset.root=DIR", "model=efficientnet_lite0", *maps])
    chosen = identity.outputs_of_maps(cfg, Ready(), names)
    assert [bool(each) for each in chosen] == [True, False], "ImageNet has cats and no persons"
    mapped = who(*maps, "model=efficientnet_lite0", classes=names, method=Ready())
    assert mapped["method"]["unanswered"] == ["person"]
    assert mapped != who(*maps, classes=names, method=Ready()), "other pairs are other rows"
    assert identity.outputs_of_maps(load(maps), Ready(), names) is None
    assert identity.outputs_of_maps(cfg, lambda: None, names) is None, "a blind point needs no network's classes"
