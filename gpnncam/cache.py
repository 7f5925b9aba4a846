"""Variations kept on disk, one file each, by what they depend on: picture, settings, seed, version of the algorithm.

Only the field is kept: a variation is the average of the source patches that its field names, so it is made again from
the field in a millisecond, to the last bit, at a tenth of the size. A file appears under its name only when it is whole
(written beside it and renamed), so several processes may share a folder; the worst that two of them do is the same
work twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import uuid
import warnings
import zlib
from dataclasses import astuple
from pathlib import Path

import numpy as np

from gpnncam.levels import VERSION, Settings

_DIGEST = 16


class Cache:
    """A folder of variations; made where it does not exist. `limit` bytes: above it nothing more is added."""

    def __init__(self, folder: str | os.PathLike, limit: int | None = None):
        self.folder, self.limit = Path(folder), limit
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"The cache folder {self.folder} cannot be made: {error}.") from error
        self._size, self.closed = self.size() if limit is not None else 0, False

    def key(self, pixels: np.ndarray, settings: Settings, device: str) -> str:
        """Name of a picture (H,W,3) uint8 under settings; `device` ("cpu", "cuda"), as their searches differ."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (
            b"gpnn %d" % VERSION,
            repr(pixels.shape).encode(),
            pixels.tobytes(),
            repr(astuple(settings)).encode(),
        ):
            digest.update(part)
        digest.update(device.encode())
        return digest.hexdigest()

    def _path(self, key: str, seed: int) -> Path:
        return self.folder / key[:2] / key / f"{seed:016x}.gpnn"

    def get(self, key: str, seed: int, shape: tuple[int, int, int]) -> np.ndarray | None:
        """Field (H-6,W-6,2) int32 for a picture of `shape` (H,W,3), or None where absent, truncated or damaged."""
        try:
            blob = self._path(key, seed).read_bytes()
        except OSError:
            return None
        body = blob[_DIGEST:]
        if blob[:_DIGEST] != _digest(body):
            return None
        steps = np.frombuffer(zlib.decompress(body), np.int16).reshape(shape[0] - 6, shape[1] - 6, 2)
        return np.cumsum(steps, axis=1, dtype=np.int16).astype(np.int32)

    def put(self, key: str, seed: int, field: np.ndarray) -> None:
        """Keep one variation's field (H-6,W-6,2), unless the cache has reached its limit. Where the disk is full a
        warning says so once, and nothing more is kept: variations are made all the same."""
        # Sources continue one another, so most differences between neighbours are alike and compress well.
        steps = np.diff(field.astype(np.int16), axis=1, prepend=np.int16(0))
        body = zlib.compress(steps.tobytes(), 1)
        if self.closed or (self.limit is not None and self._size + len(body) + _DIGEST > self.limit):
            return
        path = self._path(key, seed)
        temporary = path.with_name(f"{path.stem}.{os.getpid()}.{uuid.uuid4().hex}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(_digest(body) + body)
            os.replace(temporary, path)
        except OSError as error:
            self.closed = True
            warnings.warn(f"the cache {self.folder} keeps nothing more: {error}", RuntimeWarning, stacklevel=2)
        else:
            self._size += len(body) + _DIGEST
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes that the cache's entries take now."""
        return sum(path.stat().st_size for path in self.folder.glob("*/*/*.gpnn"))


def _digest(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_DIGEST).digest()
