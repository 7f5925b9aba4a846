"""Rows on disk: one folder a run, one JSON line a (picture, class) pair, appended a picture at a time.

    DIR/<run>/run.json          identity, resolved config, versions, hardware: what made the rows
    DIR/<run>/rows.jsonl        rows; rows.3-of-16.jsonl for a shard
    DIR/<run>/failures.jsonl    pictures that failed under on_error=skip (same naming for shards)

A picture's rows are written in one append and synced before the run goes on, so an acknowledged row survives a kill.
What a kill can leave is a torn last line: it is cut off when the file is opened for writing, and skipped when it is read.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock, Timeout


def digest(settings: dict) -> str:
    """Eight hex digits that identify a mapping of plain values, whatever the order of its keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _complete_lines(data: bytes) -> bytes:
    """Without the torn tail that a kill in the middle of a write leaves."""
    return data[: data.rfind(b"\n") + 1]


def read_lines(path: Path) -> Iterator[dict]:
    """The complete lines of a JSONL file; ValueError names the file and the line that is not JSON."""
    with open(path, "rb") as stream:
        for number, line in enumerate(stream, 1):
            if not line.endswith(b"\n"):
                return
            try:
                yield json.loads(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number} is not a row: {error}") from None


class Rows:
    """The rows of one run, open for appending by exactly one process per shard; use it in a `with` block.

    folder: the run's folder, made if missing. shard: None, or (i, n) with 1 <= i <= n.
    RuntimeError if another living process writes the same shard.
    """

    def __init__(self, folder: Path, shard: tuple[int, int] | None = None):
        self.folder = folder
        part = "" if shard is None else f".{shard[0]}-of-{shard[1]}"
        self.path = folder / f"rows{part}.jsonl"
        self.failures = folder / f"failures{part}.jsonl"
        self._lock = FileLock(folder / f".rows{part}.lock")

    def __enter__(self) -> "Rows":
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise RuntimeError(f"{self.path} is being written by another process") from None
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            size = os.fstat(self._file).st_size
            tail = self.path.read_bytes()
            if len(_complete_lines(tail)) < size:
                os.ftruncate(self._file, len(_complete_lines(tail)))
            self.failures.unlink(missing_ok=True)  # they are tried again
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_):
        os.close(self._file)
        self._lock.release()

    def append(self, rows: Iterable[dict]) -> None:
        """Write a picture's rows at once; when this returns they are on the disk. OSError leaves no part of them."""
        data = b"".join(json.dumps(row, ensure_ascii=False, allow_nan=False).encode() + b"\n" for row in rows)
        before = os.fstat(self._file).st_size
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fsync(self._file)
        except OSError:
            os.ftruncate(self._file, before)
            raise

    def fail(self, key: str, message: str) -> None:
        """Note a picture that could not be evaluated."""
        with open(self.failures, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"key": key, "error": message}, ensure_ascii=False) + "\n")


def read_rows(folder: Path) -> list[dict]:
    """All rows of a run, its shards included. ValueError if a pair stands twice."""
    rows = [row for path in sorted(folder.glob("rows*.jsonl")) for row in read_lines(path)]
    seen = set()
    for row in rows:
        pair = (row["key"], row["label"])
        if pair in seen:
            raise ValueError(f"{folder}: the rows hold picture {pair[0]}, class {pair[1]} twice")
        seen.add(pair)
    return rows


def write_json(path: Path, content: dict) -> None:
    """Replace a JSON file in one step: a reader sees the old or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(content, stream, indent=1, ensure_ascii=False)
        stream.write("\n")
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, path)
