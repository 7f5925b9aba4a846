"""What a user of a method or network of his own can get wrong, and the line that says what to write instead."""

import pytest
import torch

from eval.running.config import load
from eval.running.hints import hint
from eval.running.network_guard import Changed
from eval.running.score import score
from eval.running.settings import validate

FEW = ("limit=1", "dataset.build.count=2")


def failing(method):
    with pytest.raises(RuntimeError) as error:
        score(method, *FEW)
    return str(error.value)


def backward(image, targets, classifier):
    classifier.score(classifier.network(classifier.normalise(image)), int(targets[0])).sum().backward()


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (backward, "parameters are frozen: baselines.taps.activations_and_gradients"),
        (lambda image, targets, classifier: dict(classifier.network.named_modules())["layer5"], "scripts.layers"),
        (lambda image, targets, classifier: classifier.layers["layer5"], "has the uses cam, gpnncam and relevance"),
        (lambda image, targets, classifier: classifier.network.layer5, "classifier.module(NAME) gives a layer"),
        (lambda image, targets, classifier: classifier.module("layer5"), "no layer 'layer5'; near names: layer3.5"),
        (lambda image, targets: torch.rand(len(targets), 3, 3), "called as function(image, targets, classifier)"),
        (lambda image, targets, classifier: None, "must return maps (K,h,w)"),
        (lambda image, targets, classifier: [None] * len(targets), "must return maps (K,h,w)"),
        (lambda image, targets, classifier: "heat", "returned a str of <U4 values; it must return maps"),
        (lambda image, targets, classifier: {"cat": 1}, "returned a dict of object values"),
        (lambda image, targets, classifier: torch.rand(len(targets) + 7, 5, 5), "for K="),
        (lambda image, targets, classifier: torch.rand(len(targets), 1, 5, 5), "maps[:, 0] leaves the channel out"),
        (
            lambda image, targets, classifier: (torch.rand(len(targets), 5, 5), 0.5),
            "a tuple with parts of shapes (1, 5, 5",
        ),
        (lambda image, targets, classifier: [[[1.0, 2.0], [3.0]] for _ in targets], "parts of shapes (2,) and (1,)"),
        (lambda image, targets, classifier: classifier["cam"], "classifier.layers['cam'] names the layers"),
        (lambda image, targets, classifier: classifier(image), "classifier.network(classifier.normalise(image))"),
        (lambda image, targets, classifier: classifier.network(image), "classifier.normalise(image) makes one"),
        (lambda image, targets, classifier: torch.full((len(targets), 5, 5), torch.nan), "not finite"),
        (lambda image, targets, classifier: torch.rand(len(targets), 3, 3).requires_grad_().numpy(), "maps.detach()"),
    ],
)
def test_methods_of_ones_own(method, said):
    message = failing(method)
    assert message.startswith("picture test-000000 (")
    assert said in message


def asserting(image, targets, classifier):
    raise AssertionError


def test_an_error_names_the_user_s_own_line():
    line = asserting.__code__.co_firstlineno + 1
    assert failing(asserting).endswith(f": test_messages.py, line {line}: AssertionError")


def test_errors_of_ours_name_no_line():
    assert ".py" not in failing(lambda image, targets, classifier: None)


def hooking(image, targets, classifier):
    classifier.module("layer4").register_forward_hook(lambda *_: None)
    raise KeyError("mask")


@pytest.mark.parametrize(
    ("method", "said"),
    [
        (hooking, r"number of hooks on layer4 .* 0 became 1; remove\(\) the handle.* it raised KeyError: 'mask'"),
        (lambda image, targets, classifier: classifier.network.train() and image, "eval became training; network.eval"),
    ],
)
def test_what_a_method_leaves_behind_is_named_and_the_next_one_gets_another_network(method, said):
    with pytest.raises(Changed, match=said):
        score(method, *FEW)
    seen = []

    def later(image, targets, classifier):
        seen.append((classifier.network.training, len(classifier.module("layer4")._forward_hooks)))
        return torch.rand(len(targets), 3, 3)

    score(later, *FEW)
    assert seen == [(False, 0)]


def test_a_map_without_its_first_axis():
    from eval.game.pointing import points_or_maps

    with pytest.raises(ValueError, match=r"returned as map\[None\]"):
        points_or_maps(torch.rand(7, 7), 1)


def test_errors_without_a_remedy_get_none():
    assert hint("NameError: name 'x' is not defined") == ""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["model=custom"], "model.build._target_ is not set: a callable that returns the network"),
        (["model=torchvision"], "name it, model.arch=NAME"),
        (["method=custom"], "method.build._target_ is not set: a function or class of yours"),
    ],
)
def test_settings_without_a_value_are_named_with_what_they_want(settings, said):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - what it says is compared below
        validate(load(settings))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nowhere.explain", "there is no module 'nowhere'; PYTHONPATH=DIR says where it lies"),
        ("baselines.cam.CMA", "baselines.cam has no 'CMA'; near names: CAM"),
        ("explain", "explain: name the module too, MODULE.explain"),
    ],
)
def test_callables_that_are_not_there(target, said, caplog):
    from eval.running.build import build_method

    cfg = load(["method=custom", f"method.build._target_={target}"])
    with pytest.raises(ValueError) as error:  # noqa: PT011 - what it says is compared below
        build_method(cfg.method, None, ["cat"])
    assert said in str(error.value)
    assert not caplog.records, "one line is enough"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["metod=gradcam"], "there is no setting 'metod'; near names: method"),
        (["method=gradcm"], "there is no method=gradcm; near names: gradcam"),
        (["experiment=paper_tabel"], "there is no experiment=paper_tabel; near names: paper_table"),
        (["model.chekpoint=x"], "there is no setting 'model.chekpoint'; near names: model.checkpoint"),
        (["dataset=pascal", "dataset.rot=x"], "there is no setting 'dataset.rot'; near names: dataset.root"),
        (["method.buidl.n=3"], "near names: method.build.n, method.build.noise"),
        (
            ["method.build.sigm=3"],
            "an argument of the code that it names: +method.build.sigm=3",
        ),
        (["method=custom", "method.build.cells=7"], "takes such an argument: +method.build.cells=7"),
        (["dataset=pascal", "dataset.split=trainval"], "takes such an argument: +dataset.build.split=trainval"),
        (["model.layers.cam=layer4"], "model.variants.demo.layers.cam or model.variants.voc.layers.cam"),
        (["dataset.root=a=b"], "quoted twice"),
    ],
)
def test_misspelled_settings_name_near_ones(settings, said):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - what it says is compared below
        load(settings)
    assert said in str(error.value)


def test_a_blind_method_needs_no_network():
    validate(load(["method=center", "model=custom"]))
