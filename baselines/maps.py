"""Ready-made heat maps of any other program as a method."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from torch import Tensor


class MissingMap(LookupError):
    """A (picture, class) pair without a file; `missing` holds (key, class name) of all that the picture lacks."""

    def __init__(self, missing: list[tuple[str, str]], paths: list[Path]):
        self.missing = missing
        names = ", ".join(str(path) for path in paths)
        super().__init__(f"{len(missing)} heat map{'s' if len(missing) > 1 else ''} missing: {names}")


class Maps:
    """Heat maps from a folder, one file FOLDER/<key>/<class name>.npy for each (picture, class) pair.

    A file holds an array (h,w) of float16, float32 or float64 of any grid that covers the whole picture; larger is
    more important. Keys may contain slashes: they are folders then. In a class name a slash is written %2F and % is
    %25, so that no two classes share a file.
    Blind: called with the sample, it needs no network.
    Raises FileNotFoundError if there is no such folder; MissingMap for pairs without a file; ValueError naming the
    file for one that is no such array, or is not finite.

    Args:
        folder: FOLDER.
        classes: the names of all classes, in the order of their numbers.
    """

    version = 1  # raised when its maps change for equal settings

    def __init__(self, folder: str, classes: Sequence[str]):
        self.folder = Path(folder).expanduser()
        self.classes = classes
        if not self.folder.is_dir():
            raise FileNotFoundError(f"there is no folder of heat maps at {self.folder}; set method.folder=DIR")

    def path(self, key: str, target: int) -> Path:
        """The file of a pair; ValueError for a key that leads elsewhere."""
        parts = PurePosixPath(key)
        if not parts.parts or str(parts) != key or parts.is_absolute() or ".." in parts.parts or "\0" in key:
            raise ValueError(f"the picture key {key!r} leads out of {self.folder} or to the maps of another picture")
        name = self.classes[target].replace("%", "%25").replace("/", "%2F").replace("\0", "%00")
        return self.folder / key / f"{name}.npy"

    def content(self) -> str:
        """Sixteen hex digits of all files, their names and bytes: maps that are made anew are another method."""
        digest = hashlib.sha256()
        for path in sorted(self.folder.rglob("*.npy")):
            data = path.read_bytes()
            digest.update(f"{path.relative_to(self.folder)} {len(data)} ".encode() + data)
        return digest.hexdigest()[:16]

    def __call__(self, sample: Any, targets: Tensor) -> Tensor:
        """targets (K,) -> maps (K,h,w) in the precision of the files. All maps of a picture must have one shape."""
        paths = [self.path(sample.key, target) for target in targets.tolist()]
        absent = [i for i, path in enumerate(paths) if not path.is_file()]
        if absent:
            missing = [(sample.key, self.classes[int(targets[i])]) for i in absent]
            raise MissingMap(missing, [paths[i] for i in absent])
        maps = [read(path) for path in paths]
        for path, array in zip(paths, maps, strict=True):
            if array.shape != maps[0].shape:
                raise ValueError(f"{path} has the shape {array.shape}, {paths[0]} of the same picture {maps[0].shape}")
        return torch.from_numpy(np.stack(maps))


def read(path: Path) -> np.ndarray:
    """(h,w) float32, or float64 where the file is: what single precision would round off can be the highest point.

    ValueError names the file.
    """
    try:
        # Mapped: a header that claims more numbers than the file holds takes no memory.
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OverflowError) as error:
        raise ValueError(f"{path} is not a readable .npy file: {error}") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or 0 in array.shape:
        raise ValueError(f"{path} must hold one array (h,w), not {getattr(array, 'shape', 'an archive')}")
    if array.dtype.kind != "f" or array.dtype.itemsize > 8:
        raise ValueError(f"{path} must hold floating-point numbers of at most 64 bits, not {array.dtype}")
    array = np.array(array, np.float64 if array.dtype.itemsize == 8 else np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{path} has values that are not finite")
    return array
