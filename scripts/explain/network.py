"""The network that explains a photograph: a model of the suite, one of torchvision's, or the user's own callable."""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from eval.datasets.demo.scene import CLASSES as DEMO
from eval.datasets.voc import CLASSES as VOC
from eval.files.places import near
from eval.networks.class_map import FOLDER, imagenet_classes
from eval.networks.classifier import Classifier
from eval.networks.examine import examine, output_count
from eval.networks.imagenet import build
from eval.running.build import build_classifier
from eval.running.settings import device_of
from gpnncam.classifier import MEAN, STD
from gpnncam.layers import recognise


def classes_of(domain: str) -> list[str]:
    """The names of the outputs of the suite's networks for a domain, in order."""
    if domain == "coco":
        return list(json.loads((FOLDER / "coco_to_imagenet.json").read_text("utf-8")))
    known = {"demo": DEMO, "voc": VOC, "imagenet": list(imagenet_classes().values())}
    if domain not in known:
        raise ValueError(f"nobody knows the classes of {domain!r} networks; --classes FILE names them, one a line")
    return list(known[domain])


def suites(cfg: DictConfig, classes: Sequence[str] | None) -> Classifier:
    """The network of `model=NAME`."""
    if cfg.model.get("class_map") is not None:
        raise ValueError("a photograph is explained for the network's own outputs: leave model.class_map out")
    domain = str(cfg.model.get("variant") or cfg.dataset.domain)
    return build_classifier(cfg, classes_of(domain) if classes is None else classes)


def ones_own(
    cfg: DictConfig,
    name: str,
    layers: Sequence[str] | None,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
    classes: Sequence[str] | None,
) -> Classifier:
    """The network of `torchvision:ARCH` or `module:callable`. layers: names deep to shallow; None: recognised."""
    owner, _, what = name.partition(":")
    if owner == "torchvision":
        checkpoint = cfg.model.get("checkpoint")
        count = {} if classes is None else {"classes": len(classes)}
        network = build(what, checkpoint=checkpoint, **count) if checkpoint else _published(what)
    else:
        network = _called(owner, what)
    side, device = cfg.protocol.input.side, device_of(cfg.device)
    made = Classifier(network, mean or MEAN, std or STD, {}, [], device=device)
    pixels = made.normalise(torch.full((1, 3, side, side), 0.5, device=made.device))
    try:
        count = output_count(network, pixels)
        if layers:
            uses = {"gpnncam": list(layers), "cam": list(layers[:1]), "relevance": list(layers[:1])}
        else:
            found = recognise(network, pixels)
            uses = {"gpnncam": found.gpnncam, "cam": found.cam, "relevance": found.cam}
            print(f"layers recognised: {', '.join(found.gpnncam)} (GradCAM and its kind: {found.cam[0]})")
        if classes is None:
            classes = classes_of("imagenet") if count == 1000 else [str(index) for index in range(count)]
            if count == 1000:
                print("1,000 outputs are taken as ImageNet's classes; --classes FILE names others")
        if len(classes) != count:
            raise ValueError(f"the network has {count} outputs, --classes names {len(classes)}")
        classifier = Classifier(network, mean or MEAN, std or STD, uses, classes, device=device)
        examine(classifier, side, side)
    except ValueError as error:
        raise ValueError(f"--model {name}: {str(error).replace('layers=[...]', '--layers NAME ...')}") from None
    return classifier


def _published(arch: str) -> nn.Module:
    """torchvision's own weights; V1 where there are two, as in papers, and the only ones where there is one."""
    from torchvision import models

    names = models.list_models(module=models)
    if arch not in names:
        raise ValueError(f"torchvision has no classification network {arch!r}; near names: {near(arch, names, 5)}")
    known = list(models.get_model_weights(arch).__members__)
    return build(arch, "IMAGENET1K_V1" if "IMAGENET1K_V1" in known else known[0])


def _called(module: str, name: str) -> nn.Module:
    try:
        owner = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ValueError(
            f"--model {module}:{name}: there is no module {error.name!r}; PYTHONPATH=DIR says where it lies"
        ) from None
    if not hasattr(owner, name):
        raise ValueError(f"--model {module}:{name}: {module} has no {name!r}; near names: {near(name, dir(owner))}")
    network = getattr(owner, name)()
    if not isinstance(network, nn.Module):
        raise ValueError(f"--model {module}:{name} returns a {type(network).__name__}, no torch.nn.Module")
    return network


def names_in(path: Path | None) -> list[str] | None:
    """Class names from a text file, one a line; None without a file."""
    if path is None:
        return None
    names = [line.strip() for line in path.read_text("utf-8-sig").splitlines() if line.strip()]
    if not names:
        raise ValueError(f"{path} names no class")
    return names
