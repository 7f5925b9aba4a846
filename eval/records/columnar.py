"""Rows as columns: how a million of them are read, checked and compacted in seconds.

pyarrow parses whole blocks of lines by the types of eval/records/schema.py. Nothing is decided here about damage: where
anything is not as the suite itself writes it, the answer is None, and the exact reader (eval/records/rows.py, a line
at a time) says what is wrong, or that nothing is.
"""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import compute, parquet
from pyarrow import json as arrow_json

from eval.files import journal
from eval.records.schema import FIELDS
from eval.records.stacked import Batch, Part

BLOCK = 16 << 20  # bytes that are parsed at once
SMALL = 1 << 20  # bytes of a run that is parsed together with others
GROUP = 1 << 17  # rows of a Parquet file that are compressed, and read back, at once


def read(folder: Path) -> pa.Table | None:
    """The checked rows of a run in the columns of FIELDS, in the order of `rows.read_rows`; None: ask that one."""
    # Loose files first, see `rows.read_rows`.
    try:
        loose = [_parsed(block) for path in sorted(folder.glob("rows*.jsonl")) for block in journal.blocks(path, BLOCK)]
        packed = _packed(folder / "rows.parquet")
    except (OSError, ValueError, pa.ArrowException):
        return None
    if any(part is None for part in loose):
        return None
    table = pa.concat_tables([_schema().empty_table(), *packed, *(part for part in loose if part is not None)])
    if not valid(table):
        return None
    return table if _once(table) else _without_doubles(table, sum(map(len, packed)))


def parts(folders: Iterable[Path]) -> Iterator[tuple[Path, Part | None]]:
    """(folder, its rows or None, see `read`) of many runs; small ones are parsed together."""
    batch: list[tuple[Path, bytes]] = []
    size = 0
    for folder in folders:
        text = _small(folder)
        if text is None:
            yield folder, _alone(folder)
            continue
        batch.append((folder, text))
        size += len(text)
        if size > BLOCK:
            yield from _together(batch)
            batch, size = [], 0
    yield from _together(batch)


def _alone(folder: Path) -> Part | None:
    table = read(folder)
    return None if table is None else Batch.of(frame(table)).parts()[0]


def frame(table: pa.Table) -> pd.DataFrame:
    """The same rows in pandas, of the types that `loading.frame` gives; numbers that may be missing are floats."""
    numbers = {name for name, field in FIELDS.items() if field.kind in (int, float)}
    floats = {name for name in numbers if FIELDS[name].empty or not len(table)}
    return table.cast(
        pa.schema([pa.field(f.name, pa.float64()) if f.name in floats else f for f in _schema()])
    ).to_pandas()


def packed(table: pa.Table) -> memoryview | None:
    """Rows as the bytes of a Parquet file; None if they do not come back as they were."""
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd", row_group_size=GROUP)
    data = sink.getvalue()
    file, start = parquet.ParquetFile(pa.BufferReader(data)), 0
    for number in range(file.num_row_groups):
        part = file.read_row_group(number)
        if not part.equals(table.slice(start, len(part))):
            break
        start += len(part)
    return memoryview(data) if start == len(table) else None


def _small(folder: Path) -> bytes | None:
    """The lines of a run whose rows are all in one small file; None for any other run."""
    path = folder / "rows.jsonl"
    try:
        if path.stat().st_size > SMALL or any(
            name.startswith("rows") and name != "rows.jsonl" for name in os.listdir(folder)
        ):
            return None
        return b"".join(journal.blocks(path, SMALL))
    except (OSError, ValueError):
        return None


def _together(batch: list[tuple[Path, bytes]]) -> Iterator[tuple[Path, Part | None]]:
    counts = [text.count(b"\n") for _, text in batch]
    table = _parsed(b"".join(text for _, text in batch))
    if table is None or not valid(table) or not _once(table, np.repeat(np.arange(len(batch)), counts)):
        # One of them is at fault: each by itself.
        yield from ((folder, _alone(folder)) for folder, _ in batch)
        return
    rows = Batch(frame(table), np.cumsum([0, *counts]))
    yield from zip((folder for folder, _ in batch), rows.parts(), strict=True)


@functools.cache
def _schema() -> pa.Schema:
    kinds = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
    return pa.schema([pa.field(name, kinds[field.kind]) for name, field in FIELDS.items()])


def _parsed(lines: bytes) -> pa.Table | None:
    """Whole lines as a table; None unless each is one object with exactly the fields of a row, each of its type."""
    if not lines:
        return _schema().empty_table()
    # pyarrow is given objects alone, one a line: it takes blank lines for none, and a bare null ends the process.
    letters = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(letters == ord("\n"))
    last = letters[ends - 1]
    last = np.where(last == ord(" "), letters[ends - 2], last)
    starts = letters[np.concatenate([[0], ends[:-1] + 1])]
    if (starts != ord("{")).any() or (last != ord("}")).any() or b"\0" in lines:
        return None
    try:
        table = arrow_json.read_json(
            pa.BufferReader(lines),
            arrow_json.ReadOptions(block_size=1 << 20),
            arrow_json.ParseOptions(explicit_schema=_schema(), unexpected_field_behavior="error"),
        )
    except pa.ArrowException:
        return None
    if len(table) != len(ends):
        return None
    # A field that is missing and one that is null look alike in a table.
    for name, field in FIELDS.items():
        nulls = table[name].null_count
        if nulls and not (field.empty and lines.count(f'"{name}": null'.encode()) == nulls):
            return None
    return table


def _packed(path: Path) -> list[pa.Table]:
    """The rows that `rows.compact` has packed, as one table or none. ValueError unless each column is as expected."""
    try:
        table = parquet.ParquetFile(path).read()
    except FileNotFoundError:
        return []
    if set(table.column_names) != set(FIELDS) or len(table.column_names) != len(FIELDS):
        raise ValueError(f"{path} has other columns than a row")
    columns = []
    for field in _schema():
        column = table[field.name]
        if column.type != field.type and not (
            pa.types.is_null(column.type) or (pa.types.is_integer(column.type) and field.type == pa.float64())
        ):
            raise ValueError(f"{path} has {field.name} as {column.type}")
        columns.append(column.cast(field.type))
    return [pa.table(columns, schema=_schema())]


def valid(table: pa.Table) -> bool:
    """Whether every value is what FIELDS says."""
    for name, field in FIELDS.items():
        column = table[name]
        if column.null_count and not field.empty:
            return False
        if field.kind is str:
            if len(table) and (compute.any(compute.equal(column, "")).as_py() or not _utf8(column)):
                return False
        elif field.kind is not bool and len(table) > column.null_count:
            if field.kind is float and not compute.all(compute.is_finite(column)).as_py():
                return False
            low, high = (compute.min_max(column)[bound].as_py() for bound in ("min", "max"))
            if not (field.low <= low and high <= field.high and math.isfinite(low) and math.isfinite(high)):
                return False
    return True


def _utf8(column: pa.ChunkedArray) -> bool:
    try:
        column.validate(full=True)
    except pa.ArrowException:
        return False
    return True


def _pairs(table: pa.Table, runs: np.ndarray | None = None) -> np.ndarray:
    """(n,) int64, equal where picture, class (and run) are."""
    codes = runs.astype(np.int64) if runs is not None else np.zeros(len(table), np.int64)
    for name in ("key", "label"):
        found, known = pd.factorize(table[name].to_pandas())
        codes = codes * len(known) + found
    return codes


def _once(table: pa.Table, runs: np.ndarray | None = None) -> bool:
    pairs = np.sort(_pairs(table, runs))
    return not (pairs[1:] == pairs[:-1]).any()


def _without_doubles(table: pa.Table, packed_rows: int) -> pa.Table | None:
    """Without the loose rows that a compaction has packed and not removed yet; None for any other double."""
    pairs = pd.Series(_pairs(table))
    again = pairs.duplicated().to_numpy()
    firsts = pd.Series(np.arange(len(table))[~again], pairs[~again])[pairs[again]].to_numpy()
    seconds = np.flatnonzero(again)
    if (firsts >= packed_rows).any() or (seconds < packed_rows).any() or len(set(firsts.tolist())) != len(firsts):
        return None
    if not table.take(firsts).equals(table.take(seconds)):
        return None
    return table.filter(pa.array(~again))
