"""What decides a run's rows, gathered from its config, its network, its method, and the code behind them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from eval.files.download import sha256
from eval.measures.measure import Measure
from eval.networks.class_map import outputs
from eval.networks.classifier import Classifier
from eval.records import run_folder
from eval.records.provenance import weights_digest
from eval.running.settings import network_settings, plain, protocol_of
from eval.running.source_code import OURS, attribute_of, code_of, libraries_of, names_code, version_of

# Arguments of this suite's own callables that change no row: where data lie (their content is compared whenever rows
# are reused), where weights come from (their values count), where variations are kept. What changes speed alone a
# callable names itself, in its attribute `speed`.
PLACES = {
    "eval.datasets.voc.VOC": ("root", "download"),
    "eval.datasets.coco.Coco": ("root",),
    "eval.datasets.imagenet.ImageNet": ("root",),
    "eval.datasets.folder.folder": ("root",),
    "eval.networks.demo.vgg16": ("checkpoint",),
    "eval.networks.demo.resnet50": ("checkpoint",),
    "eval.networks.torchray.vgg16": ("checkpoint",),
    "eval.networks.torchray.resnet50": ("checkpoint",),
    "eval.networks.imagenet.build": ("checkpoint",),
    "eval.networks.timm_models.build": ("checkpoint",),
    "eval.networks.efficientnet_lite.build": ("checkpoint",),
    "eval.networks.openclip.build": ("checkpoint",),
    "baselines.maps.Maps": ("folder",),
    "gpnncam.cam.GPNNCAM": ("generator.cache",),
}


def identity(
    cfg: DictConfig, settings: DictConfig, method: Callable, classifier: Classifier | None, classes: Sequence[str]
) -> tuple[dict, list[str]]:
    """(what decides the rows of a method, notes on what cannot be known); see `run_folder.identity`.

    settings: the method's config. method: the built callable. classifier: None for a method that reads no network.
    """
    protocol = protocol_of(cfg)
    notes: list[str] = []
    dataset = {"name": str(cfg.dataset.name)} | _part(plain(cfg.dataset.build), "dataset.build", notes)
    # Labels are indices into it: the same outputs of the network stand for other classes in another order.
    dataset["classes"] = hashlib.sha256(json.dumps(list(classes)).encode()).hexdigest()[:16]
    model = None if classifier is None else _network(cfg, classifier, _layers_read(settings, classifier), notes)
    who = {"name": str(settings.name), "blind": bool(settings.blind)} | _part(
        plain(settings.build), "method.build", notes, files=True
    )
    who |= {name: plain(settings[name]) for name in ("smooth", "input") if settings.get(name) is not None}
    if hasattr(method, "content"):  # ready-made maps: what the files hold
        who["content"] = method.content()
        answered = outputs_of_maps(cfg, method, classes) or ()
        if lost := [name for name, chosen in zip(classes, answered, strict=False) if not chosen]:
            who["unanswered"] = lost
    pixels = asdict(protocol.input) if model else None
    return run_folder.identity(
        dataset, model, who, pixels, cfg.seed, classifier.device.type if classifier else None
    ), notes


def network_identity(cfg: DictConfig, classifier: Classifier) -> tuple[dict, list[str]]:
    """What decides the observations of a method that reads no network, beside its run: its measures' network."""
    notes: list[str] = []
    seen = asdict(protocol_of(cfg).input)
    return _network(cfg, classifier, {}, notes) | {"input": seen, "device": classifier.device.type}, notes


def outputs_of_maps(cfg: DictConfig, method: Callable, classes: Sequence[str]) -> list[list[int]] | None:
    """Of ready-made maps under a model with a class map, the outputs that stand for each class: a network has no map of
    a class that it cannot answer. None: of any class."""
    chosen = cfg.model.get("class_map") if hasattr(method, "content") else None
    return None if chosen is None else outputs(classes, chosen)


def measure_identity(settings: DictConfig, measure: Measure) -> tuple[dict, list[str]]:
    """What decides a measure's observations beside the run: its name, version, settings and code."""
    notes: list[str] = []
    part = {"name": measure.name, "version": measure.version}
    if inner := {name: version for name, each in vars(measure).items() if (version := version_of(each)) is not None}:
        part["versions"] = inner
    return part | _part(plain(settings), f"measure.{measure.name}", notes, files=True), notes


def _network(cfg: DictConfig, classifier: Classifier, layers: dict[str, list[str]], notes: list[str]) -> dict:
    network = plain(network_settings(cfg))
    part = {
        "name": str(cfg.model.name),
        "weights": weights_digest(classifier.network),
        "outputs": classifier.outputs,
        **classifier.normalisation,
        "layers": layers,
    } | _part(network["build"], "model.build", notes)
    if cfg.model.get("outputs") is not None:
        part["answers"] = str(cfg.model.outputs)
    if classifier.declared:
        part["layouts"] = {name: str(layout) for name, layout in sorted(classifier.declared.items())}
    if not classifier.network.state_dict():
        notes.append("the network shows no weights (its state_dict is empty), so a change of them is not seen")
    return part


def _part(build: dict, path: str, notes: list[str], files: bool = False) -> dict:
    """What of a `build` decides rows, with the code and libraries behind it and, with files=True, the files that it
    names."""
    code, unread = code_of(build)
    notes += unread
    part: dict[str, Any] = {"build": _normal(_deciding(build))}
    if code:
        part["code"] = code
    if libraries := libraries_of(build):
        part["libraries"] = libraries
    if files and (contents := _files(part["build"], path, notes)):
        part["files"] = contents
    return part


def _deciding(settings: Any) -> Any:
    """Settings without places and what changes speed alone, those of callables inside included."""
    if isinstance(settings, list):
        return [_deciding(each) for each in settings]
    if not isinstance(settings, dict):
        return settings
    target = str(settings.get("_target_", ""))
    moot = (*PLACES.get(target, ()), *(attribute_of(target, "speed") or ()))
    return {name: _deciding(value) for name, value in _without(settings, moot).items()}


def _without(settings: dict, places: Sequence[str]) -> dict:
    """The settings without those at the dotted paths `places`."""
    kept = {}
    for name, value in settings.items():
        if name in places:
            continue
        inner = [place.removeprefix(f"{name}.") for place in places if place.startswith(f"{name}.")]
        kept[name] = _without(value, inner) if inner and isinstance(value, dict) else value
    return kept


def _normal(build: dict) -> dict:
    """One spelling of what means the same: `layers: layer4` is `layers: [layer4]`."""
    layers = build.get("layers")
    return build | ({"layers": [layers]} if isinstance(layers, str) else {})


def _files(settings: Any, path: str, notes: list[str], ours: bool = False) -> dict[str, str]:
    """{setting: digest} of the files that settings name: a checkpoint written anew is another method.

    A word without a dot or a slash is a choice where the callable is this suite's, and wherever it is torch's.
    """
    digests: dict[str, str] = {}
    items = settings.items() if isinstance(settings, dict) else enumerate(settings)
    if isinstance(settings, dict) and "_target_" in settings:
        ours = settings["_target_"].partition(".")[0] in OURS
    for name, value in items:
        here = f"{path}.{name}"
        if isinstance(value, dict | list):
            digests |= _files(value, here, notes, ours)
        elif isinstance(value, str) and value and len(value) < 1024 and name != "_target_":
            place = Path(value).expanduser()
            word = place.name == value and not place.suffix
            if place.is_file() and not names_code(value) and not (ours and word):
                digests[here] = sha256(place)[:16]
            elif place.is_dir() and ("/" in value or "\\" in value):
                notes.append(f"{here} names the folder {value}, whose content no identity holds")
    return digests


def _layers_read(settings: DictConfig, classifier: Classifier) -> dict[str, list[str]]:
    """The model's layers that the method reads: all of them, unless all of its code is this suite's, which reads layers
    when it is built."""
    ours = all(name.partition(".")[0] in OURS for name in _targets(plain(settings.build)))
    return {use: names for use, names in sorted(classifier.layers.items()) if not ours or use in classifier.layers.read}


def _targets(settings: Any) -> list[str]:
    if isinstance(settings, dict):
        inner = [name for value in settings.values() for name in _targets(value)]
        return inner + ([settings["_target_"]] if "_target_" in settings else [])
    return [name for value in settings for name in _targets(value)] if isinstance(settings, list) else []
