"""What a user of a method or network of his own can get wrong, and the line that says what to write instead."""

import pytest
import torch

from eval.running.config import load
from eval.running.hints import hint
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
        (backward, "parameters are frozen: a forward hook on a layer"),
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
        (lambda image, targets, classifier: torch.full((len(targets), 5, 5), torch.nan), "not finite"),
        (lambda image, targets, classifier: torch.rand(len(targets), 3, 3).requires_grad_().numpy(), "maps.detach()"),
    ],
)
def test_methods_of_ones_own(method, said):
    message = failing(method)
    assert message.startswith("picture test-000000 (")
    assert said in message


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
    ],
)
def test_callables_that_are_not_there(target, said):
    from eval.running.build import build_method

    cfg = load(["method=custom", f"method.build._target_={target}"])
    with pytest.raises(ValueError) as error:  # noqa: PT011 - what it says is compared below
        build_method(cfg.method, None, ["cat"])
    assert said in str(error.value)


def test_a_blind_method_needs_no_network():
    validate(load(["method=center", "model=custom"]))
