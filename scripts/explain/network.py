"""The network that explains a photograph, by `--model`: as settings of run.py, and with names for its outputs."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from eval.datasets.demo.scene import CLASSES as DEMO
from eval.datasets.voc import CLASSES as VOC
from eval.files.parsed import read_json
from eval.networks.class_map import FOLDER, imagenet_classes, outputs
from eval.networks.classifier import Classifier
from eval.running.build import build_network

LIBRARIES = ("torchvision", "timm")
SETTING = re.compile(r"[+~]{0,2}[A-Za-z_][\w.@/]*=")


def is_setting(word: str | float) -> bool:
    """Whether a word of the command line is a setting of run.py."""
    return bool(SETTING.match(str(word)))


def settings_of(
    model: str, layers: Sequence[str] | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> list[str]:
    """Settings of run.py for NAME (of conf/model), torchvision:ARCH, timm:ARCH or module:callable.

    layers: names deep to shallow, None: recognised. mean, std: red, green, blue in [0,1], None: the library's.
    """
    owner, colon, what = model.partition(":")
    if not colon:
        settings = [f"model={model}"]
    elif owner in LIBRARIES:
        settings = [f"model={owner}", f"model.arch={what}"]
    else:
        settings = ["model=custom", f"model.name={what}", f"model.build._target_={owner}.{what}"]
    if layers:
        settings += [f"model.layers.{use}={_listed(layers[:count])}" for use, count in (("cam", 1), ("gpnncam", None))]
    for name, value in (("mean", mean), ("std", std)):
        settings += [f"model.{name}={_listed(value)}"] if value else []
    return settings


def _listed(values: Sequence[object]) -> str:
    return f"[{','.join(map(str, values))}]"


def classifier_of(cfg: DictConfig, names: Sequence[str] | None) -> Classifier:
    """The network of the config about its own outputs. names: theirs; None: those of the domain that it was trained on,
    ImageNet's for 1,000 outputs, else numbers. ValueError where there are more or fewer of them than outputs."""
    if names is not None and "prompt" in cfg.model:  # its outputs are made of the names
        return build_network(cfg, names)
    classifier = build_network(cfg, None)
    count = classifier.count
    for note in classifier.notes:
        print(note)
    if names is None:
        names = _named(str(cfg.model.get("variant") or cfg.model.get("class_map") or ""), count)
    if len(names) != count:
        raise ValueError(f"model={cfg.model.name}: the network has {count} outputs, --classes names {len(names)}")
    classifier.classes, classifier.outputs = tuple(names), [[index] for index in range(count)]
    try:
        classifier.examine()
    except ValueError as error:
        raise ValueError(f"model={cfg.model.name}: {error}") from None
    return classifier


def meaning(classifier: Classifier, name: str, class_map: str | None) -> list[int] | None:
    """The outputs that stand for a word of a class map, which the network's own names lack: "dog" is 118 of ImageNet's
    classes. class_map: as in model.class_map, None: the built-in maps, for a network of ImageNet's classes. None
    where it knows no such word."""
    if class_map is None and classifier.classes[:1000] != tuple(imagenet_classes().values()):
        return None
    try:
        return outputs([name], class_map or "imagenet", len(classifier.outputs))[0]
    except ValueError:
        return None


def _named(domain: str, count: int) -> list[str]:
    if domain == "coco":
        return list(json.loads((FOLDER / "coco_to_imagenet.json").read_text("utf-8")))
    if domain in ("demo", "voc"):
        return list(DEMO if domain == "demo" else VOC)
    if count != 1000:
        return [str(index) for index in range(count)]
    if not domain:
        print("1,000 outputs are taken as ImageNet's classes; --classes FILE names others")
    return list(imagenet_classes().values())


def names_in(path: Path | None) -> list[str] | None:
    """Class names of a text file, one a line, of a JSON list, or of a JSON object {"0": name, ...}, alone or under
    "id2label" as Hugging Face writes it; None without a file. ValueError names the file and what is expected."""
    if path is None:
        return None
    data = path.read_bytes()
    marked = data[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    try:
        text = data.decode("utf-16" if marked else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 ({error.reason} at byte {error.start}): {EXPECTED}") from None
    if "\0" in text:
        raise ValueError(f"{path} holds zero bytes, as UTF-16 without its mark does: {EXPECTED}")
    if text.lstrip()[:1] in ("[", "{"):
        return _names_of_json(path)
    names = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(rf"{index}[\s:,]+(.+)", name) for index, name in enumerate(names)]
    if all(numbered):
        names = [match[1] for match in numbered if match]
    if not names:
        raise ValueError(f"{path} names no class: {EXPECTED}")
    return names


EXPECTED = 'class names in UTF-8, one a line in the outputs\' order, a JSON list, or {"id2label": {"0": NAME, ...}}'


def _names_of_json(path: Path) -> list[str]:
    given = read_json(path)
    if isinstance(given, dict):
        given = given.get("id2label", given)
    if isinstance(given, dict):
        numbers = sorted(given, key=lambda key: (len(str(key)), str(key)))
        if [str(number) for number in numbers] != [str(index) for index in range(len(numbers))]:
            raise ValueError(f"{path} does not number its classes 0, 1, 2, ...: {EXPECTED}")
        given = [given[number] for number in numbers]
    if not isinstance(given, list) or not given or not all(isinstance(name, str) and name.strip() for name in given):
        raise ValueError(f"{path} holds no list of class names: {EXPECTED}")
    return [name.strip() for name in given]
