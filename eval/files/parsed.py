"""JSON and YAML that other programs wrote: read without what a parser guesses, drops or multiplies."""

import json
import re
import reprlib
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

LONGEST = 200
DEEPEST = 100  # levels of a JSON file; COCO's has six
BLOCK = 1 << 24
_SHORT = reprlib.Repr()
_SHORT.maxlist = _SHORT.maxtuple = 6
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, 80, 80


def shown(value: Any) -> str:
    """A value as a message shows it, at most 200 characters: a file chooses its values, not their length."""
    if type(value) is int and abs(value) < 10**18:
        return str(value)
    try:
        text = _SHORT.repr(value)
    except ValueError:
        return "a number of more than 4,300 digits"
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} ..."


def read_json(path: Path) -> Any:
    """What a JSON file in UTF-8, UTF-16 or UTF-32 holds, with or without byte order mark.

    ValueError names the file: no JSON, deeper than annotations are, or an object with one key twice, whose first value
    would be lost.
    """
    return parsed_json(path.read_bytes(), path)


def parsed_json(content: bytes, origin: object) -> Any:
    """The same of a file's bytes; `origin` is what a ValueError names."""
    try:
        if _brackets(content) > DEEPEST and _depth(content) > DEEPEST:
            raise ValueError(f"more than {DEEPEST} levels")
        return json.loads(content, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{origin} is no readable JSON: {error}") from error


def _brackets(content: bytes) -> int:
    """The most brackets that are open at one place, those in texts counted too: an upper bound of the depth, fast."""
    open_now = deepest = 0
    for start in range(0, len(content), BLOCK):
        block = np.frombuffer(content, np.uint8, min(BLOCK, len(content) - start), start)
        brackets = block[np.isin(block, (91, 93, 123, 125), kind="table")]  # [ ] { }
        depths = open_now + np.cumsum(np.where((brackets == 91) | (brackets == 123), 1, -1))
        deepest, open_now = max(deepest, int(depths.max(initial=0))), int(depths[-1]) if len(depths) else open_now
    return deepest


def _depth(content: bytes) -> int:
    """How deep JSON's lists and objects lie in each other."""
    depth = deepest = 0
    for part in re.finditer(r'"(?:[^"\\]|\\.)*"|[\[{]|[\]}]', content.decode(json.detect_encoding(content))):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(part[0], 0)
        deepest = max(deepest, depth)
    return deepest


def read_yaml(path: Path) -> Any:
    """What a YAML file in UTF-8 holds, with or without byte order mark.

    ValueError names the file: no YAML, one key twice, a key that YAML takes for something else than text (no: is
    false, 010: is 8), a whole number in another notation than the decimal one, an alias (a few hundred bytes of them
    stand for gigabytes).
    """
    return parsed_yaml(path.read_bytes(), path)


def parsed_yaml(text: bytes, origin: object) -> Any:
    """The same of a file's bytes; `origin` is what a ValueError names."""
    try:
        return yaml.load(text.decode("utf-8-sig"), _Literal)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{origin} is no readable YAML: {error}") from error


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A hook (object_pairs_hook) of json.loads: an object with one key twice is refused, as one value would be lost."""
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ValueError(f"the key {shown(_twice([key for key, _ in pairs]))} stands twice in one object")
    return entries


def _twice(keys: list[str]) -> str:
    return Counter(keys).most_common(1)[0][0]


class _Literal(yaml.SafeLoader):
    """YAML's safe loader without aliases and without keys or numbers that mean something else than they show."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise _refused("aliases (*name) are not read; write the value out", self.peek_event())
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys: set[str] = set()
        for key, _ in node.value:
            if key.tag != "tag:yaml.org,2002:str":
                kind = key.tag.rpartition(":")[2]
                raise _refused(f"YAML reads the key {shown(key.value)} as {kind}, not as text; quote it", key)
            if key.value in keys:
                raise _refused(f"the key {shown(key.value)} stands twice", key)
            keys.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_number(self, node: yaml.ScalarNode) -> int:
        if not re.fullmatch(r"-?(0|[1-9][0-9]{0,18})", node.value):
            raise _refused(f"{shown(node.value)} is no whole number in plain decimal digits", node)
        return int(node.value)


_Literal.add_constructor("tag:yaml.org,2002:int", _Literal.construct_number)


def _refused(what: str, place: yaml.Node | yaml.Event) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, what, cast("yaml.error.Mark | None", place.start_mark))
