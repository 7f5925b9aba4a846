"""Derives the class maps of eval/networks/classmaps from WordNet 3.0.

    python -m scripts.maintain.make_class_maps /usr/share/wordnet

DICT is WordNet's folder with data.noun (Debian: package wordnet-base). Writes
imagenet_synsets.json (class order of ImageNet-1k: torchvision's, sorted by synset) and voc_to_imagenet.json,
coco_to_imagenet.json. The results are committed, so that using them takes no WordNet.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from eval.files.places import ROOT
from scripts.command import Command, command

FOLDER = ROOT / "eval" / "networks" / "classmaps"


def categories() -> list[str]:
    """The names of ImageNet-1k's classes, as torchvision has them."""
    from torchvision.models._meta import _IMAGENET_CATEGORIES

    return _IMAGENET_CATEGORIES


def read_nouns(path: Path) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Lemmas and hypernyms (instances too) of every noun synset, by id: n and the 8 digits of its offset."""
    lemmas, above = {}, {}
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("  "):  # the licence
            continue
        fields = line.partition("|")[0].split()
        synset, count = "n" + fields[0], int(fields[3], 16)
        lemmas[synset] = [word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
        pointers = fields[5 + 2 * count :]
        above[synset] = [
            "n" + to for kind, to in zip(pointers[::4], pointers[1::4], strict=False) if kind in ("@", "@i")
        ]
    return lemmas, above


def order(lemmas: dict[str, list[str]], meanings: dict) -> list[str]:
    """The synset of each of torchvision's 1000 categories.

    The one ascending sequence of synsets that have the categories as lemmas, first lemmas preferred, by dynamic
    programming; `senses` of the meanings are given.
    """
    plain = lambda word: re.sub(r"[^a-z]", "", word.lower())  # noqa: E731
    having = defaultdict(list)
    for synset, words in lemmas.items():
        for place, word in enumerate(words):
            having[plain(word)].append((synset, place))
    reached = {"": (0, ())}
    for index, name in enumerate(categories()):
        word = plain(meanings["lemmas"].get(index, name))
        given = meanings["senses"].get(index)
        step = {}
        for synset, place in having[word]:
            before = [entry for last, entry in reached.items() if last < synset]
            if before and given in (None, synset):
                cost, path = min(before, key=lambda entry: entry[0])
                step[synset] = (cost + place, (path, synset))
        if not step:
            raise ValueError(f"class {index} ({name}): no synset of WordNet 3.0 fits the order")
        reached = step
    path = min(reached.values(), key=lambda entry: entry[0])[1]
    synsets = []
    while path:
        path, synset = path
        synsets.append(synset)
    return synsets[::-1]


def ancestors(synset: str, above: dict[str, list[str]]) -> set[str]:
    """The synset and everything above it."""
    seen, stack = set(), [synset]
    while stack:
        current = stack.pop()
        if current not in seen:
            seen.add(current)
            stack.extend(above[current])
    return seen


def resolve(meaning: dict, lineage: list[set[str]], what: str) -> dict:
    """One entry of a map: synsets, outputs in ascending order, and the loose ones with the reason."""
    if "none" in meaning:
        return {"outputs": [], "none": meaning["none"]}
    index = {name: i for i, name in enumerate(categories())}
    below = {i for i, line in enumerate(lineage) if line & set(meaning.get("means", []))}
    also = {index[name]: reason for name, reason in meaning.get("also", {}).items()}
    dropped = {index[name] for name in meaning.get("not", {})}
    loose = {index[name]: reason for name, reason in meaning.get("loose", {}).items()}
    if (set(loose) | dropped) - below or set(also) & below:
        raise ValueError(f"{what}: `loose` and `not` must lie below its synsets, `also` outside")
    entry = {"synsets": meaning.get("means", []), "outputs": sorted((below | set(also)) - dropped)}
    if not entry["outputs"]:
        raise ValueError(f"{what}: nothing in ImageNet-1k; say so with `none`")
    return entry | {"loose": {categories()[i]: reason for i, reason in sorted((loose | also).items())}}


def write(path: Path, entries: dict) -> None:
    """JSON with one entry a line, so that a difference shows what changed."""
    lines = (f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in entries.items())
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("wordnet", type=Path, metavar="DICT")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="default: %(default)s")


def act(options: argparse.Namespace) -> None:
    import yaml

    meanings = yaml.safe_load((FOLDER / "meanings.yaml").read_text())
    lemmas, above = read_nouns(options.wordnet / "data.noun")
    synsets = order(lemmas, meanings)
    lineage = [ancestors(synset, above) for synset in synsets]
    write(options.out / "imagenet_synsets.json", dict(zip(synsets, categories(), strict=True)))
    for data in ("voc", "coco"):
        entries = {name: resolve(meaning, lineage, f"{data}, {name}") for name, meaning in meanings[data].items()}
        write(options.out / f"{data}_to_imagenet.json", entries)
        mapped = sum(bool(entry["outputs"]) for entry in entries.values())
        print(f"{data}: {mapped} of {len(entries)} classes have outputs")


main = command(Command("scripts.maintain.make_class_maps", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
