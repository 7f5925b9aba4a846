"""Data set, network and method from their configs."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from omegaconf import DictConfig

from eval.networks.class_map import outputs
from eval.networks.classifier import Classifier
from eval.networks.examine import examine, output_count
from eval.running.config import instantiate
from eval.running.identity import network_settings, plain
from eval.running.settings import device_of


def build_dataset(cfg: DictConfig) -> Any:
    """The data set of the config; FileNotFoundError says what is missing and how to get it."""
    return instantiate(cfg.dataset.build)


def build_classifier(cfg: DictConfig, classes: Sequence[str]) -> Classifier:
    """The classifier of the config for a data set's classes; ValueError where its outputs do not fit them, or where it
    is no classifier."""
    settings = network_settings(cfg)
    device, side = device_of(cfg.device), cfg.protocol.input.side
    try:
        network = instantiate(settings.build)
        if not isinstance(network, torch.nn.Module):
            raise ValueError(f"{settings.build._target_} returns a {type(network).__name__}, no torch.nn.Module")
        classifier = Classifier(
            network,
            mean=settings.mean,
            std=settings.std,
            layers=plain(settings.layers),
            classes=classes,
            outputs=[[]] * len(classes),
            device=device,
        )
        count = output_count(network, classifier.normalise(torch.zeros(1, 3, side, side, device=device)))
        classifier.outputs = outputs(classes, cfg.model.class_map, count)
        examine(classifier, side, side)
    except ValueError as error:
        raise ValueError(f"model={cfg.model.name}: {error}") from error
    return classifier


def build_method(method: DictConfig, classifier: Classifier | None, classes: Sequence[str]) -> Callable:
    """The callable of a `method` config. A class is built with classifier= (classes= if blind); a function is called
    as function(image, targets, classifier=...)."""
    if classifier is not None:
        classifier.layers.read.clear()
    target = instantiate(method.build, _partial_=True)
    known: dict[str, Any] = {"classes": classes} if method.blind else {"classifier": classifier}
    return bound(target, known, f"method={method.name}: {method.build._target_}")


def bound(target: functools.partial, known: dict[str, Any], what: str) -> Callable:
    """The callable that a function or a class with its settings becomes, given `known`; ValueError names `what` where
    a class cannot be built so."""
    if not inspect.isclass(target.func):
        return functools.partial(target, **known)
    signature = inspect.signature(target.func)
    known = {name: value for name, value in known.items() if name in signature.parameters}
    try:
        signature.bind(*target.args, **target.keywords, **known)
    except TypeError as error:
        raise ValueError(f"{what}: {error}") from None
    return target(**known)
