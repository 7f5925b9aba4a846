"""A file of JSON lines that only grows: what a kill, a full disk or a power loss leaves of it is always whole.

Lines are written in groups, one write a group. Every line of a group but its last ends in a blank, which JSON ignores:
so a reader sees where a group is complete, and a kill in the middle of a write leaves a picture's rows all or none.
"""

import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from errno import EINVAL, ENOTSUP
from pathlib import Path

from eval.files.parsed import once

# Bytes written and not synced yet are at most PENDING and one more group.
WINDOW = 8 << 20
PENDING = 1 << 20
EVERY = {"auto": 0.5, "picture": 0.0, "half": 0.5, "second": 1.0}  # seconds between two syncs at most
SYNCS = ("auto", "picture", "second")


def encoded(lines: list[dict]) -> bytes:
    """A group of lines; ValueError for a number that is not finite."""
    texts = [json.dumps(line, ensure_ascii=False, allow_nan=False).encode() for line in lines]
    return b" \n".join(texts) + b"\n" if texts else b""


def read(path: Path) -> Iterator[dict]:
    """The lines of all complete groups, also while another process appends.

    A power loss leaves zeros from some byte to the end of the file, which end it here too. ValueError names the file
    and the line that is not JSON, has one key twice, or holds zeros with anything behind them.
    """
    group: list[dict] = []
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            if b"\0" in line:
                if (line[line.index(b"\0") :] + stream.read()).strip(b"\0"):
                    raise ValueError(_damaged(path, f"line {number} holds zero bytes, and more follows"))
                return
            if not line.endswith(b"\n"):
                return
            try:
                group.append(json.loads(line, object_pairs_hook=once))
            except ValueError as error:
                raise ValueError(f"{path}, line {number} is not a row: {error}") from None
            if not line.endswith(b" \n"):
                yield from group
                group = []


def blocks(path: Path, size: int) -> Iterator[bytes]:
    """The same groups as bytes, about `size` at a time, unread: each block ends with a group.

    ValueError where the file ends in more than a torn line; `read` says what that is.
    """
    with open(path, "rb") as stream:
        rest = b""
        while block := stream.read(size):
            rest += block
            if end := rest.rfind(b"}\n") + 1:
                yield rest[: end + 1]
                rest = rest[end + 1 :]
        if b"\n" in rest or b"\0" in rest:
            raise ValueError(f"{path} does not end with a complete group of lines")


def complete(file: int, path: Path) -> int:
    """The length of the file up to the end of its last complete group, from its last WINDOW bytes alone.

    ValueError where the end of the file is not what an interrupted write leaves: the file was edited or damaged.
    """
    size = os.fstat(file).st_size
    start = max(0, size - WINDOW)
    tail = b""
    while len(tail) < size - start:
        block = os.pread(file, size - start - len(tail), start + len(tail))
        if not block:
            break
        tail += block
    whole, _, zeros = tail.partition(b"\0")
    if zeros.strip(b"\0"):
        raise ValueError(_damaged(path, "it holds zero bytes, and more follows"))
    end = whole.rfind(b"}\n") + 2 if b"}\n" in whole else 0
    if (start and not end) or any(not line.endswith(b" ") for line in whole[end:].split(b"\n")[:-1]):
        raise ValueError(_damaged(path, "near its end it has lines that are not rows"))
    return start + end


def _damaged(path: Path, how: str) -> str:
    return f"{path} is damaged: {how}. Nothing of it is cut: repair the file, or remove it and evaluate again"


class Journal:
    """A journal open for appending; the caller holds the lock. Use it in a `with` block.

    sync: "picture": what `append` has written is on the disk when it returns. "half", "second": it is there that much
    time's worth of groups later at most; a kill loses nothing either way, a power loss that time's. "auto": "picture"
    as long as a sync takes less time than what lies between two groups, "half" for whoever is faster than the disk.
    Measured on a clock that nobody can set.
    """

    def __init__(self, path: Path, sync: str = "picture"):
        if sync not in EVERY:
            raise ValueError(f"sync must be {' or '.join(SYNCS)}, not {sync!r}")
        self.path, self._every = path, EVERY[sync]
        self._adapts, self._cost = sync == "auto", 0.0  # seconds that the latest sync took

    def __enter__(self) -> "Journal":
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._end = complete(self._file, self.path)
            if self._end < os.fstat(self._file).st_size:
                os.ftruncate(self._file, self._end)
            # Later calls rely on what an earlier process wrote without a sync.
            os.fsync(self._file)
            sync_folder(self.path.parent)
        except BaseException:
            os.close(self._file)
            raise
        self._synced, self._broken = self._end, False
        self._when = self._appended = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if not self._broken and self._synced < self._end:
                self._sync()
        finally:
            os.close(self._file)

    def append(self, lines: list[dict]) -> None:
        """Write a group. RuntimeError if it cannot be written: no part of it is then in the file."""
        data = encoded(lines)
        if self._broken:
            raise RuntimeError(f"{self.path} could not be written before; nothing more is appended")
        state = os.fstat(self._file)
        if state.st_size != self._end or state.st_nlink == 0:
            self._broken = True
            how = "removed" if state.st_nlink == 0 else "changed"
            raise RuntimeError(f"{self.path} was {how} by another program while it was being written")
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
        except OSError as error:
            self._give_up(self._end, error)
        self._end += len(data)
        now = time.monotonic()
        slower = self._adapts and now - self._appended >= self._cost
        if slower or now - self._when >= self._every or self._end - self._synced > PENDING:
            self._sync()
            self._cost = time.monotonic() - now
        self._appended = time.monotonic()

    def _sync(self) -> None:
        try:
            os.fsync(self._file)
        except OSError as error:
            # After a failed sync nobody knows what reached the disk, and a second one would report success.
            self._give_up(self._synced, error)
        self._synced, self._when = self._end, time.monotonic()

    def _give_up(self, length: int, error: OSError) -> None:
        self._broken = True
        with suppress(OSError):  # the next opening cuts the torn group off as well
            os.ftruncate(self._file, length)
        raise RuntimeError(
            f"{self.path} cannot be written: {error.strerror}. What was written before is safe; make room and run the "
            "same command again"
        ) from error


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, durably; several processes may do so at once."""
    if not folder.is_dir():
        make_folder(folder.parent)
        with suppress(FileExistsError):
            os.mkdir(folder)
        sync_folder(folder.parent)


def sync_folder(folder: Path) -> None:
    """Make the names of new files in the folder durable, where the file system can."""
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    except OSError as error:
        if error.errno not in (EINVAL, ENOTSUP):
            raise
    finally:
        os.close(file)


def replace(path: Path, data: bytes | memoryview) -> None:
    """Replace a file in one step, durably: a reader sees the old or the new one, never a part."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            written = 0
            while written < len(data):
                written += os.write(file, data[written:])
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.unlink(temporary)
        raise RuntimeError(f"{path} cannot be written: {error.strerror}") from error
    sync_folder(path.parent)
