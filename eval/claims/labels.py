"""The label of a method: its name's, with the settings in which it differs from conf/method/NAME.yaml."""

from __future__ import annotations

import functools
from typing import Any

import yaml

from eval.files.places import CONF
from eval.records.wording import differing

COMPARED = ("build", "blind", "smooth", "input")


def label_of(info: dict) -> str:
    """The label that run.json gives a method; one of another name than those of this suite keeps its own.

    ValueError where that is the label of a method of this suite.
    """
    who, name = info["identity"]["method"], info["method"]
    if name == "custom" or not (CONF / "method" / f"{name}.yaml").is_file():
        if info["label"].casefold() in _taken():
            raise ValueError(f"the method {name!r} has the label {info['label']!r}, which is another method's")
        return info["label"]
    usual = settings(name)
    ours = {part: who[part] for part in COMPARED if who.get(part) is not None}
    texts = differing([_listed(_within(usual, ours)), _listed(_known(ours, usual))])[1]
    return f"{_label(name)} [{', '.join(texts)}]" if texts else _label(name)


@functools.cache
def settings(name: str) -> dict:
    """conf/method/NAME.yaml with the files that it builds on. Values that other settings decide stay as "${...}"."""
    content = yaml.safe_load((CONF / "method" / f"{name}.yaml").read_text(encoding="utf-8"))
    whole: dict = {}
    for each in content.pop("defaults", ()):
        if isinstance(each, dict):  # /method@build.inner: NAME
            for place, other in each.items():
                inner = settings(str(other))
                for part in reversed(place.partition("@")[2].split(".")):
                    inner = {part: inner}
                whole = _merged(whole, inner)
        elif each != "_self_":
            whole = _merged(whole, settings(each))
    return _merged(whole, content)


def _label(name: str) -> str:
    """The label of conf/method/NAME.yaml; the name where it depends on other settings."""
    label = str(settings(name).get("label") or name)
    return name if "${" in label else label


@functools.cache
def _taken() -> frozenset[str]:
    """Names and labels of this suite's methods, in small letters."""
    names = [path.stem for path in CONF.glob("method/*.yaml")]
    return frozenset(text.casefold() for name in names for text in (name, _label(name)))


def _merged(below: dict, above: dict) -> dict:
    both = {name: _merged(below[name], above[name]) for name in below.keys() & above.keys()
            if isinstance(below[name], dict) and isinstance(above[name], dict)}  # fmt: skip
    return below | above | both


def _within(usual: Any, ours: Any) -> Any:
    """`usual` without what `ours` lacks (a place is part of no identity) and without what other settings decide."""
    if isinstance(usual, dict) and isinstance(ours, dict):
        return {name: _within(value, ours[name]) for name, value in usual.items() if name in ours and not _open(value)}
    return usual


def _known(ours: Any, usual: Any) -> Any:
    """`ours` without what other settings decide."""
    if isinstance(usual, dict) and isinstance(ours, dict):
        return {n: _known(value, usual.get(n)) for n, value in ours.items() if not _open(usual.get(n))}
    return ours


def _open(value: Any) -> bool:
    return isinstance(value, str) and "${" in value


def _listed(part: dict) -> dict:
    """One spelling of one layer, as identities have it."""
    layers = part.get("build", {}).get("layers")
    return part | {"build": part["build"] | {"layers": [layers]}} if isinstance(layers, str) else part
