"""What lies in a data set's folders, and which file a name in an annotation means."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.files.words import several

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm")
NAMED = 5


def folder(path: str | Path | None, what: str, remedy: str) -> Path:
    """The existing folder `path`, resolved; FileNotFoundError that says what was looked for and how to get it."""
    if path is None:
        raise FileNotFoundError(f"{what} is not configured; {remedy}")
    place = Path(str(path)).expanduser()
    if not place.is_dir():
        raise FileNotFoundError(f"{what}: there is no folder {place.absolute()}; {remedy}")
    return place.resolve()


def file(path: Path, what: str, remedy: str) -> Path:
    """The existing file `path`; FileNotFoundError that says what was looked for and how to get it."""
    if not path.is_file():
        raise FileNotFoundError(f"{what}: there is no file {path.absolute()}; {remedy}")
    return path


def text(path: Path) -> str:
    """A text file in UTF-8 (with or without byte order mark); ValueError names it where it is not."""
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error


def inside(root: Path, name: str) -> Path:
    """The path of `name` (relative, "/" between folders) under the resolved folder `root`.

    ValueError where it leads out of `root`: absolute, with "..", or through a symbolic link. Whoever writes an
    annotation chooses names, and no annotation may make the suite read files elsewhere.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"the file name {name!a} in {root} is not UTF-8; rename the file") from None
    path = root / name
    if not name or "\0" in name or name[0] == "/" or ".." in name.split("/"):
        raise ValueError(f"the file name {name!r} does not stay inside {root}")
    # Of a file in the folder itself one look is enough, and data sets have many.
    if ("/" in name or os.path.islink(path)) and not path.resolve().is_relative_to(root):
        raise ValueError(f"{path} is a link that leads out of {root}")
    return path


def listed(place: Path, suffixes: Sequence[str]) -> tuple[list[str], list[str]]:
    """The names in a folder with one of these suffixes in any case, sorted: (files, hidden ones).

    Hidden files belong to the system, not to the data: macOS puts a ._NAME beside every file of a zip or a USB stick.
    """
    names = [name for name in sorted(os.listdir(place)) if suffix(name) in suffixes]
    return [name for name in names if name[0] != "."], [name for name in names if name[0] == "."]


def suffix(name: str) -> str:
    """The suffix of a file name in small letters, with its dot; of a hidden file too."""
    stem, dot, last = name.rpartition(".")
    return f".{last.lower()}" if dot and stem else ""


def by_stem(names: Iterable[str], place: Path) -> dict[str, str]:
    """Stem -> name; ValueError where two names have one stem, as an annotation would mean either."""
    files: dict[str, str] = {}
    for name in names:
        stem = name.rpartition(".")[0]
        if stem in files:
            raise ValueError(f"{place} has two files called {stem}: {files[stem]} and {name}")
        files[stem] = name
    return files


def located(root: Path, names: Iterable[str]) -> tuple[list[str], list[str]]:
    """(the files under `root` that the names mean, names without a file): a suffix may differ in case, p.jpg in p.JPG.

    One scan a folder, not one look-up a file. ValueError where a name leads out of `root` or means two files.
    """
    scanned: dict[Path, tuple[set[str], dict[str, list[str]]]] = {}
    files, lost = [], []
    for name in names:
        parent, _, last = name.rpartition("/")
        place = inside(root, name).parent if parent else root
        if place not in scanned:
            scanned[place] = _scanned(place)
        present, loosely = scanned[place]
        meant = [last] if last in present else loosely.get(_loose(last), [])
        if len(meant) > 1:
            raise ValueError(f"{place}: {last} can mean {' or '.join(meant)}")
        if not meant or (parent and not (place / meant[0]).is_file()):
            lost.append(name)
        else:
            files.append(f"{parent}/{meant[0]}" if parent else meant[0])
    return files, lost


def _scanned(place: Path) -> tuple[set[str], dict[str, list[str]]]:
    present = os.listdir(place) if place.is_dir() else []
    loosely: dict[str, list[str]] = {}
    for name in sorted(present):
        loosely.setdefault(_loose(name), []).append(name)
    return set(present), loosely


def _loose(name: str) -> str:
    return name[: len(name) - len(suffix(name))] + suffix(name)


def first_of(names: Sequence[str]) -> str:
    """The first few of many names, for messages."""
    return ", ".join(names[:NAMED]) + (" ..." if len(names) > NAMED else "")


def hidden_remark(place: Path, names: Sequence[str]) -> list[str]:
    """A line that counts hidden files which look like data, or none."""
    if not names:
        return []
    return [f"{several(len(names), 'hidden file')} in {place} not read: {first_of(names)}"]
