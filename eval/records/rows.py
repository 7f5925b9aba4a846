"""Rows on disk: one folder a run, one JSON line a (picture, class) pair, appended a picture at a time.

    DIR/<run>/run.json          identity, resolved config, versions, hardware: what made the rows
    DIR/<run>/rows.jsonl        rows; rows.3-of-16.jsonl for a shard
    DIR/<run>/rows.parquet      rows that `compact` has moved out of those files
    DIR/<run>/failures.jsonl    pictures that failed under on_error=skip (same naming for shards)

A picture's rows are written in one append (eval/journal.py), so a kill leaves them all or none. A pair has one row:
each file has one writer, shards of one division do not overlap, and different divisions do not run at the same time.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from eval.files import journal
from eval.files.journal import Journal
from eval.files.locks import Lock, is_held


def digest(settings: dict) -> str:
    """Eight hex digits that identify a mapping of plain values, whatever the order of its keys."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:8]


class Rows:
    """The rows of one run, open for appending by exactly one process per shard; use it in a `with` block.

    folder: the run's folder, made if missing. shard: None, or (i, n) with 1 <= i <= n. sync: see Journal.
    RuntimeError if another living process writes the same shard, or the run undivided or divided otherwise: its
    pictures would overlap with ours. RuntimeError too if the folder cannot be written.
    """

    def __init__(self, folder: Path, shard: tuple[int, int] | None = None, sync: str = "picture"):
        self.folder = folder
        self._division = "" if shard is None else f"-of-{shard[1]}"
        self.part = part = "" if shard is None else f".{shard[0]}{self._division}"
        self.path = folder / f"rows{part}.jsonl"
        self.failures = folder / f"failures{part}.jsonl"
        self._lock = folder / f".rows{part}.lock"
        self._sync = sync

    def __enter__(self) -> "Rows":
        with contextlib.ExitStack() as opened:
            try:
                journal.make_folder(self.folder)
                opened.enter_context(Lock(self._lock, str(self.path)))
                self._refuse_other_divisions()
                self._rows = opened.enter_context(Journal(self.path, self._sync))
                self._failed = opened.enter_context(Journal(self.failures, "second"))
            except OSError as error:
                raise RuntimeError(f"{self.folder} cannot be written: {error.strerror}; set results=DIR") from error
            self._opened = opened.pop_all()
        return self

    def _refuse_other_divisions(self) -> None:
        # We hold our own lock by now: of two processes that start at once at least one sees the other's.
        for other in sorted(self.folder.glob(".rows*.lock")):
            division = "".join(other.name.removesuffix(".lock").partition("-of-")[1:])
            if division != self._division and is_held(other):
                raise RuntimeError(
                    f"{self.folder} is being written by a process with another shard= setting ({other.name}): "
                    "their pictures overlap; let it finish first"
                )

    def __exit__(self, *error: Any) -> bool | None:
        return self._opened.__exit__(*error)

    def append(self, rows: Iterable[dict]) -> None:
        """Write a picture's rows at once. RuntimeError if that fails; no part of them is then in the file."""
        self._rows.append(list(rows))

    def fail(self, key: str, message: str) -> None:
        """Note a picture that could not be evaluated."""
        self._failed.append([{"key": key, "error": message}])


def read_rows(folder: Path) -> list[dict]:
    """All rows of a run, shards and compacted ones included. ValueError if a pair has two different rows.

    Safe beside writers and beside `compact`.
    """
    # Loose files come first: compaction replaces the packed file before it removes them, so rows on their way between
    # the two are seen at least once. Those seen twice are equal in every field, their timing included.
    loose = {}
    for path in sorted(folder.glob("rows*.jsonl")):
        with contextlib.suppress(FileNotFoundError):
            loose[path] = list(journal.read(path))
    rows = _packed_rows(folder / "rows.parquet")
    seen: dict[tuple, tuple[dict, Path | None]] = {(row["key"], row["label"]): (row, None) for row in rows}
    for path, lines in loose.items():
        for row in lines:
            try:
                pair = (row["key"], row["label"])
            except (KeyError, TypeError):
                raise ValueError(f"{path} has a line without key and label: {str(row)[:80]}") from None
            known, origin = seen.setdefault(pair, (row, path))
            if known is row:
                rows.append(row)
            elif origin is not None or _filled(known) != _filled(row):
                where = (origin or folder / "rows.parquet").name
                raise ValueError(f"{path}: the rows hold picture {pair[0]}, class {pair[1]} twice, see {where}")
    return rows


def read_failures(folder: Path, done: Callable[[], Iterable[str]] | None = None) -> dict[str, str]:
    """{key: message} of the pictures that failed when they were last tried and have no row since.

    done: the pictures that have rows, called where any has failed; None: as `read_rows` finds them.
    """
    errors: dict[str, str] = {}
    for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
        if name.startswith("failures") and name.endswith(".jsonl"):
            errors |= {line["key"]: line["error"] for line in journal.read(folder / name)}
    if not errors:
        return {}
    have = set(done() if done else (row["key"] for row in read_rows(folder)))
    return {key: message for key, message in errors.items() if key not in have}


def compact(folder: Path) -> int:
    """Move a run's rows into rows.parquet; returns how many it holds then.

    Killed at any point it loses and doubles nothing: the new file, read back and compared, replaces the old one in one
    step, and the loose files are removed after that. RuntimeError if somebody writes the run.
    """
    from eval.records import columnar

    with contextlib.ExitStack() as locks:
        locks.enter_context(Lock(folder / ".compact.lock", f"{folder}/rows.parquet"))
        loose = sorted(folder.glob("rows*.jsonl"))
        for path in loose:
            locks.enter_context(Lock(folder / f".{path.stem}.lock", str(path)))
        rows = columnar.read(folder)
        # Rows of other fields (those that a measure observed), and such that only the exact reader understands.
        exact = read_rows(folder) if rows is None else []
        count = len(exact) if rows is None else len(rows)
        if not loose:
            return count
        for leftover in folder.glob(".rows.parquet.*"):
            os.unlink(leftover)
        packed = columnar.packed(rows) if rows is not None else _packed_exactly(exact)
        if packed is None:
            raise RuntimeError(f"{folder}: the rows do not survive Parquet unchanged; they stay where they are")
        journal.replace(folder / "rows.parquet", packed)
        for path in loose:
            os.unlink(path)
        journal.sync_folder(folder)
    return count


def _packed_exactly(rows: list[dict]) -> bytes | None:
    """Rows as the bytes of a Parquet file; None if they do not come back as they were."""
    packed = _pack(rows)
    return packed if [_filled(row) for row in _unpack(packed)] == [_filled(row) for row in rows] else None


def _filled(row: dict) -> dict:
    # A column of Parquet has a place for every row: a field that is missing comes back as None.
    return {name: value for name, value in row.items() if value is not None}


def _pack(rows: list[dict]) -> bytes:
    import pyarrow
    from pyarrow import parquet

    columns = {name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)}
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _unpack(packed: bytes) -> list[dict]:
    import pyarrow
    from pyarrow import parquet

    return parquet.read_table(pyarrow.BufferReader(packed)).to_pylist()


def _packed_rows(path: Path) -> list[dict]:
    try:
        packed = path.read_bytes()
    except FileNotFoundError:
        return []
    try:
        return _unpack(packed)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def write_json(path: Path, content: dict) -> None:
    """Replace a JSON file in one step: a reader sees the old or the new one, never a part."""
    journal.make_folder(path.parent)
    journal.replace(path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())
