"""Heat maps kept beside the rows (save_maps=true): DIR/<run>/maps/<key>/<class>.npy."""

import io
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from eval.files import journal


def path(folder: Path, key: str, label: str) -> Path:
    """Where the map of a pair lies; `method=maps` reads the same layout. ValueError if the key leads elsewhere."""
    parts = PurePosixPath(key)
    # "a//b" and "a/./b" are other keys than "a/b", but the same folder.
    if not parts.parts or str(parts) != key or parts.is_absolute() or ".." in parts.parts or "\0" in key:
        raise ValueError(f"the picture key {key!r} names no place inside {folder}")
    return folder / "maps" / key / f"{escaped(label)}.npy"


def escaped(label: str) -> str:
    """A class's name as a file name, another one for each class: the slash is %2F as in web addresses, % is %25."""
    return label.replace("%", "%25").replace("/", "%2F").replace("\0", "%00")


def save(folder: Path, key: str, labels: Sequence[str], maps: np.ndarray) -> None:
    """Write maps (K,h,w) of a picture's K classes, each on the disk and whole before this returns.

    float16 on the method's own grid, divided by the largest absolute value: a map's scale means nothing to the
    pointing game, and gradients as small as 1e-9 would vanish in half precision. RuntimeError if the disk is full.
    """
    for label, heat in zip(labels, maps, strict=True):
        top = np.abs(heat).max()
        target = path(folder, key, label)
        data = io.BytesIO()
        np.save(data, (heat / top if top > 0 else heat).astype(np.float16))
        try:
            journal.make_folder(target.parent)
        except OSError as error:
            raise RuntimeError(f"{target.parent} cannot be written: {error.strerror}") from error
        journal.replace(target, data.getvalue())
