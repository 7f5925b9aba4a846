"""Nested settings in words: what differs between runs, and all of one's."""

import json
import re
from collections.abc import Iterator
from typing import Any


def differing(settings: list[dict]) -> list[list[str]]:
    """For each of several nested settings its "name=value" wherever they are not all alike."""
    flat = _without_settings_of_others([dict(_flat(each)) for each in settings])
    names = sorted({name for each in flat for name in each})
    unlike = [name for name in names if len({json.dumps(each.get(name)) for each in flat}) > 1]
    return [
        [f"{_short(name, names)}={_value(each[name]) if name in each else 'default'}" for name in unlike]
        for each in flat
    ]


def _without_settings_of_others(flat: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Where a method takes another one inside and the callables differ, what is inside is told by its name alone: two
    callables' settings have nothing in common."""
    ending = "._target_"
    callables = sorted({name.removesuffix(ending) for each in flat for name in each if name.endswith(ending)}, key=len)
    for place in callables:
        outer = any(place.startswith(f"{other}.") for other in callables)
        if outer and len({(each.get(place + ending)) for each in flat}) > 1:
            holder = place.removesuffix(".build")
            for number, each in enumerate(flat):
                name = each.get(f"{holder}.name", each.get(place + ending))
                kept = {key: value for key, value in each.items() if not key.startswith(f"{holder}.")}
                flat[number] = kept | {holder: name}
            everywhere = set.intersection(*map(set, flat))
            flat = [{key: each[key] for key in each if ".code." not in key or key in everywhere} for each in flat]
    return flat


def as_words(settings: dict) -> list[str]:
    """All of nested settings as "name=value", the names as short as they are clear; a callable by its name alone."""
    named = {name.removesuffix("._target_"): value for name, value in _flat(settings)}
    flat = {name: value for name, value in named.items() if not name.endswith(("_partial_", "_convert_"))}
    return [f"{_short(name, list(flat))}={_value(value)}" for name, value in flat.items()]


def _flat(settings: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(settings, dict) and settings:
        for name, value in settings.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, settings


def _short(name: str, names: list[str]) -> str:
    """The shortest ending of a dotted name that no other setting of the method shares."""
    parts = name.split(".")
    if parts[-2:-1] == ["layers"] and sum(".layers." in f".{other}" for other in names) == 1:
        return "layers"  # a method reads those of one use, and that use bears its own name
    for count in range(1, len(parts)):
        ending = "." + ".".join(parts[-count:])
        if sum(other.endswith(ending) for other in names) == 1:
            return ending[1:]
    return name


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value[:8] if re.fullmatch("[0-9a-f]{16}", value) else value  # a digest
    if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
        return ",".join(value)
    return json.dumps(value)
