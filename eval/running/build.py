"""Data set, network and method from their configs."""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from omegaconf import DictConfig

from eval.networks.class_map import outputs
from eval.networks.classifier import Classifier
from eval.networks.head import fits, with_head
from eval.networks.memory import keep_memory
from eval.networks.preprocessing import described
from eval.running.config import callable_of, instantiate
from eval.running.settings import device_of, network_settings, plain


def build_dataset(cfg: DictConfig) -> Any:
    """The data set of the config; FileNotFoundError says what is missing and how to get it."""
    return instantiate(cfg.dataset.build)


def plain_float32() -> None:
    """A card computes in float32 as a processor does, by the same algorithm in every run.

    By default torch lets convolutions round their inputs to TF32's ten bits of mantissa, which moves points.
    """
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = True, False


def build_classifier(cfg: DictConfig, classes: Sequence[str]) -> Classifier:
    """The classifier of the config for a data set's classes; ValueError where its outputs do not fit them, or where it
    is no classifier."""
    return build_network(cfg, classes)


def build_network(cfg: DictConfig, classes: Sequence[str] | None) -> Classifier:
    """The same; classes None: its outputs stand for nothing, which is enough to look at its layers."""
    settings = network_settings(cfg)
    device, side = device_of(cfg.device), cfg.protocol.input.side
    names = classes or ()
    if torch.device(device).type == "cpu":
        keep_memory()
    else:
        plain_float32()
    try:
        network = instantiate(settings.build, **_asked(settings.build._target_, names))
        if not isinstance(network, torch.nn.Module):
            raise ValueError(f"{settings.build._target_} returns a {type(network).__name__}, no torch.nn.Module")
        known = described(network)
        if head := cfg.model.get("head"):
            network, answers = with_head(network, head, side)
            if classes is not None and cfg.model.class_map is None:
                fits(classes, answers)
        said = (known.mean, known.std) if known else (None, None)
        mean, std = settings.get("mean") or said[0], settings.get("std") or said[1]
        if mean is None or std is None:
            raise ValueError(
                "neither torchvision nor timm made this network, so nobody knows how its pixels are normalised: "
                "model.mean=[R,G,B] model.std=[R,G,B], on the [0,1] scale (one number each for grey pictures)"
            )
        layers = plain(settings.get("layers")) or {}
        classifier = Classifier(
            network,
            mean=mean,
            std=std,
            layers={use: _names(layer) for use, layer in layers.items() if layer is not None},
            classes=names,
            outputs=[[]] * len(names),
            device=device,
            side=side,
            layouts=plain(cfg.model.get("layouts")),
        )
        count = classifier.adapt(cfg.model.get("outputs"))
        if classes is not None:
            classifier.outputs = outputs(classes, cfg.model.class_map, count)
            classifier.examine()
        if not layers or None in layers.values():
            classifier.notes.append(_fill_layers(classifier, layers))
        if known and not settings.get("mean"):
            normalised = f"mean {', '.join(map(str, mean))}, deviation {', '.join(map(str, std))}"
            size = f"trained on {known.trained}, tested with {known.side}" if known.trained else ""
            size = f"{side} x {side}{f' ({known.library}: {size})' if size else ''}"
            classifier.notes.append(f"pixels as {known.library} says: {normalised}; input {size}")
    except ValueError as error:
        raise ValueError(f"model={cfg.model.name}: {error}") from error
    return classifier


def _fill_layers(classifier: Classifier, given: dict[str, Any]) -> str:
    """Give the uses without layers those of the rule; a sentence about it. Where the rule finds none, methods that read
    layers say so, and the others run."""
    try:
        chosen = classifier.layers_by_rule()
    except ValueError as error:
        return str(error)
    classifier.layers |= {use: names for use, names in chosen.items() if given.get(use) is None}
    return "layers by the rule (deep to shallow): " + "; ".join(
        f"{use} {', '.join(classifier.layers[use])}" for use in ("cam", "gpnncam")
    )


def _names(layers: Any) -> list[str]:
    """Layer names as texts: Hydra reads the layer 2 of a Sequential as a number."""
    return [str(name) for name in (layers if isinstance(layers, list | tuple) else [layers])]


def _asked(target: str, classes: Sequence[str]) -> dict[str, Any]:
    """What a network's builder asks for by the name of its argument: a network of prompts asks for `class_names`."""
    builder = callable_of(target)
    return {"class_names": list(classes)} if "class_names" in inspect.signature(builder).parameters else {}


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
