"""A claim's folder: which files it may hold, how large, and the digests that name it. Nothing in it is trusted."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from eval.files import journal
from eval.files.parsed import shown
from eval.records.run_folder import escaped

SUMS = "SHA256SUMS"
# Bytes that each may have. Rows of a million pairs take about 60 MB.
LARGEST = {
    "claim.yaml": 1 << 18, "rows.parquet": 1 << 26, "times.parquet": 1 << 26, "run.json": 1 << 20,
    "environment.txt": 1 << 20, SUMS: 1 << 18,
}  # fmt: skip
CODE, VERDICTS = "code", "verdicts"
LARGEST_PART, MOST_PARTS, DEEPEST = 1 << 20, 200, 8
# What differs between two machines that make one claim, and is no part of its name.
OF_MACHINES = ("environment.txt", "times.parquet")
PLAIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_+.-]{0,99}")


@dataclass(frozen=True)
class Folder:
    """place: the claim's folder. files: {path inside: its bytes}, verdicts among them."""

    place: Path
    files: dict[str, bytes]

    @functools.cached_property
    def sums(self) -> str:
        """What SHA256SUMS must hold."""
        return sums(self.files)

    @functools.cached_property
    def digest(self) -> str:
        """Sixteen hex digits of all that the claim says; the machine that made it does not count."""
        lines = [line for line in self.sums.splitlines() if line.partition("  ")[2] not in OF_MACHINES]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]

    @property
    def code(self) -> dict[str, bytes]:
        """{path under code/: bytes} of the code that came with the claim."""
        return {name.removeprefix(f"{CODE}/"): text for name, text in self.files.items() if name.startswith(f"{CODE}/")}


def read(place: Path) -> Folder:
    """Every file of a claim's folder, in memory. ValueError names a link, a strange, missing or too large file."""
    if place.is_symlink() or not place.is_dir():
        raise ValueError(f"{place} is {'a link' if place.is_symlink() else 'no folder'}; a claim is a folder")
    files: dict[str, bytes] = {}
    _walk(place, "", files)
    for name in LARGEST:
        if name not in files:
            raise ValueError(f"{place} has no {name}: {'it is no claim' if len(files) == 0 else 'it was cut'}")
    return Folder(place, files)


def _walk(folder: Path, inside: str, files: dict[str, bytes]) -> None:
    if inside.count("/") > DEEPEST:
        raise ValueError(f"{folder} lies too deep for a claim")
    for entry in sorted(os.scandir(folder), key=lambda each: each.name):
        name = inside + entry.name
        if not PLAIN.fullmatch(entry.name):
            raise ValueError(f"the file name {shown(name)} is none of a claim's: letters, digits and _+.- alone")
        if entry.is_symlink():
            raise ValueError(f"{name} is a link; a claim holds files alone")
        if entry.is_dir(follow_symlinks=False):
            if not (name in (CODE, VERDICTS) or inside.startswith(f"{CODE}/")):
                raise ValueError(f"the folder {name} is none of a claim's")
            _walk(folder / entry.name, f"{name}/", files)
            continue
        known = inside.startswith(f"{CODE}/") or (inside == f"{VERDICTS}/" and name.endswith(".json"))
        if name not in LARGEST and not known:
            raise ValueError(f"the file {name} is none of a claim's")
        if len(files) > MOST_PARTS:
            raise ValueError(f"a claim has at most {MOST_PARTS} files")
        files[name] = _content(folder / entry.name, LARGEST.get(name, LARGEST_PART), name)


def _content(path: Path, most: int, name: str) -> bytes:
    # Opened without following links, and read no further than allowed whatever its size was a moment ago.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{name} is no plain file")
        content = stream.read(most + 1)
    if len(content) > most:
        raise ValueError(f"{name} has more than {most:,} bytes")
    return content


def sums(files: dict[str, bytes]) -> str:
    """What SHA256SUMS holds: a line for every file but itself and verdicts, as `sha256sum` writes them."""
    names = sorted(name for name in files if name != SUMS and not name.startswith(f"{VERDICTS}/"))
    return "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in names)


def changed(folder: Folder) -> list[str]:
    """What SHA256SUMS and the files disagree about, in a sentence each."""
    said = folder.files[SUMS].decode("ascii", "replace")
    stated, now = (
        {name: digest for digest, _, name in (line.partition("  ") for line in text.splitlines())}
        for text in (said, folder.sums)
    )
    wrong = [f"{shown(name)} is listed in {SUMS} and not there" for name in sorted(stated.keys() - now.keys())]
    wrong += [f"{name} is there and not listed in {SUMS}" for name in sorted(now.keys() - stated.keys())]
    wrong += [
        f"{name} was edited: its digest is {now[name][:16]}, {SUMS} says {shown(stated[name][:16])}"
        for name in sorted(now.keys() & stated.keys())
        if now[name] != stated[name]
    ]
    if not wrong and folder.files[SUMS] != folder.sums.encode():
        wrong.append(f"{SUMS} has other lines or another order than `sha256sum` writes")
    return wrong


def name_of(info: dict, digest: str) -> str:
    """The name of a claim's folder: data set, network and method of its run.json, and the claim's digest."""
    names = [info["dataset"], *([info["model"]] if info["model"] else []), info["method"]]
    return ".".join([*(re.sub(r"[^A-Za-z0-9_+.-]", "_", escaped(name)) for name in names), digest])[-99:].lstrip(".+-")


def write(out: Path, info: dict, files: dict[str, bytes]) -> Path:
    """Write a claim under `out`, SHA256SUMS included; its folder. ValueError if another one of that name is there."""
    files = files | {SUMS: sums(files).encode()}
    place = out / name_of(info, Folder(out, files).digest)
    if place.exists() and {**files} != {k: v for k, v in read(place).files.items() if not k.startswith(f"{VERDICTS}/")}:
        kept = [name for name in OF_MACHINES if (place / name).is_file()]
        raise ValueError(f"{place} is there already: the same claim, made elsewhere ({', '.join(kept)} differ)")
    for name, content in files.items():
        journal.make_folder((place / name).parent)
        journal.replace(place / name, content)
    return place
