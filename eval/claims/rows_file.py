"""rows.parquet and times.parquet: a run's rows and its measures' observations in one canonical order.

rows.parquet has the columns of a row but what differs between two equal runs, sorted by picture and class, and a struct
column a measure, null where a pair was not observed. times.parquet has what differs, in the same order.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from pyarrow import compute, parquet

from eval.records import columnar, loading
from eval.records.loading import Run
from eval.records.observations import OWN, Observations
from eval.records.schema import FIELDS, TIMING

KINDS = {str: pa.string(), bool: pa.bool_(), int: pa.int64(), float: pa.float64()}
LEAVES = (*KINDS.values(), pa.null())
MOST_ROWS, BYTES_A_ROW, LONGEST_NAME = 2_000_000, 1 << 14, 255
ROW = pa.schema([pa.field(name, KINDS[each.kind]) for name, each in FIELDS.items() if name not in TIMING])
SECONDS = "seconds"


def prefix(info: dict, number: int) -> str:
    """The column of a claim's measure: its place in run.json and its name."""
    return f"measure.{number}.{info['name']}"


def packed(run: Run) -> tuple[bytes, bytes, list[dict]]:
    """(rows.parquet, times.parquet, what run.json says about each measure) of a run."""
    rows = run.rows.sort_values(["key", "label"], kind="stable", ignore_index=True)
    table = pa.Table.from_pandas(rows[ROW.names], schema=ROW, preserve_index=False)
    times = {name: pa.array(rows[name], pa.float64(), from_pandas=True) for name in TIMING}
    parts = sorted(run.observations, key=lambda each: each.folder.name)
    infos = [{name: each.info[name] for name in ("name", "identity", "network", "fields")} for each in parts]
    for number, (each, info) in enumerate(zip(parts, infos, strict=True)):
        lines = {(line["key"], line["label"]): line for line in each.lines.to_dict("records")}
        names = [name for name in (*OWN, *info["fields"]) if name not in ("key", "label", SECONDS)]
        found = [lines.get(pair) for pair in zip(rows["key"], rows["label"], strict=True)]
        content = pa.array([line and {name: _plain(line[name]) for name in names} for line in found])
        table = table.append_column(prefix(info, number), content)
        times[prefix(info, number)] = pa.array([line and float(line[SECONDS]) for line in found], pa.float64())
    return _bytes(table), _bytes(pa.table(times)), infos


def _plain(value: Any) -> Any:
    """Parquet's arrays, and NaN for a missing number, as JSON has them."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    return None if isinstance(value, float) and value != value else value


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata(None), sink, compression="zstd", row_group_size=columnar.GROUP)
    return sink.getvalue().to_pybytes()


def unpacked(rows: bytes, times: bytes, measures: list[dict]) -> tuple[pd.DataFrame, list[Observations]]:
    """The rows in the columns of `schema.FIELDS`, and the observations. ValueError names what no claim's file has:
    other columns or types, more rows than there may be, values out of their range, a pair twice, another order."""
    names = [prefix(info, number) for number, info in enumerate(measures)]
    table = _read(rows, "rows.parquet", ROW, names)
    spent = _read(times, "times.parquet", pa.schema([*((n, pa.float64()) for n in (*TIMING, *names))]), [])
    if len(spent) != len(table):
        raise ValueError(f"times.parquet has {len(spent):,} lines, rows.parquet {len(table):,}")
    for name in ("key", "label", "region", "picture"):
        _texts(table[name], name)
    filled = pa.table({n: spent[n] if n in TIMING else table[n] for n in FIELDS})
    filled = filled.cast(pa.schema([(n, KINDS[each.kind]) for n, each in FIELDS.items()]))
    frame = columnar.frame(filled) if columnar.valid(filled) else loading.frame(filled.to_pylist(), "rows.parquet")
    for before, after in itertools.pairwise(lines_of(frame, "key", "label")):
        if before == after:
            raise ValueError(f"rows.parquet holds picture {before[0]!r}, class {before[1]!r} twice")
        if before > after:
            raise ValueError(f"rows.parquet is in no canonical order: {after[0]!r} comes after {before[0]!r}")
    parts = [_observations(table[name], spent[name], frame, info) for name, info in zip(names, measures, strict=True)]
    return frame, parts


def lines_of(frame: pd.DataFrame, *names: str) -> Iterator[tuple]:
    """The lines of some columns, as plain values."""
    return zip(*(frame[name].to_numpy().tolist() for name in names), strict=True)


def digest_of(columns: Iterable[pd.Series]) -> str:
    """Of what columns hold, in their order."""
    texts = ("\n".join(map(str, column.to_numpy().tolist())) for column in columns)  # no text of a claim breaks a line
    return hashlib.sha256("\n\n".join(texts).encode()).hexdigest()


def _read(data: bytes, name: str, schema: pa.Schema, structs: list[str]) -> pa.Table:
    try:
        file = parquet.ParquetFile(
            pa.BufferReader(data), thrift_string_size_limit=1 << 24, thrift_container_size_limit=1 << 20
        )
        head, found = file.metadata, file.schema_arrow
        if head.num_rows > MOST_ROWS or head.num_rows < 1:
            raise ValueError(f"{name} says that it has {head.num_rows:,} rows; a claim has 1 to {MOST_ROWS:,}")
        if list(found.names) != [*schema.names, *structs]:
            odd = sorted(set(found.names) ^ {*schema.names, *structs}) or found.names
            raise ValueError(f"{name} has other columns than a claim's: {', '.join(map(repr, odd[:5]))[:300]}")
        for each in schema:
            if found.field(each.name).type != each.type:
                raise ValueError(f"{name} has {each.name} as {found.field(each.name).type}, not as {each.type}")
        for each in structs:
            kind = found.field(each).type
            if not pa.types.is_struct(kind) or not all(_leaf(field.type) for field in kind):
                raise ValueError(f"{name} has {each} as {str(kind)[:100]}, which no measure observes")
        groups = [head.row_group(number) for number in range(head.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        parts = [group.column(number) for group in groups for number in range(group.num_columns)]
        if size > (1 << 20) + BYTES_A_ROW * head.num_rows or sum(group.num_rows for group in groups) != head.num_rows:
            raise ValueError(f"{name} says that its {head.num_rows:,} rows have {size:,} bytes")
        for group, part in ((group, group.column(place)) for group in groups for place in range(len(schema))):
            if part.num_values != group.num_rows:
                raise ValueError(f"{name} says that {part.path_in_schema} has {part.num_values:,} values")
        if not all(part.num_values <= BYTES_A_ROW * head.num_rows for part in parts):
            raise ValueError(f"{name} says that a column has more values than its rows can hold")
        return file.read()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{name} is no readable Parquet: {str(error)[:200]}") from None


def _leaf(kind: pa.DataType) -> bool:
    inner = kind.value_type if pa.types.is_list(kind) else kind
    return (inner.value_type if pa.types.is_list(inner) else inner) in LEAVES


def _texts(column: pa.ChunkedArray, name: str) -> None:
    for text in compute.unique(column).to_pylist():
        if text is not None and (len(text) > LONGEST_NAME or not text.isprintable()):
            raise ValueError(f"rows.parquet has {text[:80]!a} as {name}, which no terminal should print")


def _observations(column: pa.ChunkedArray, seconds: pa.ChunkedArray, rows: pd.DataFrame, info: dict) -> Observations:
    part = Observations(Path("measures", info["name"]), info)
    names = {field.name for field in column.type}
    wanted = {*OWN, *info["fields"]} - {"key", "label", SECONDS}
    if names != wanted:
        raise ValueError(
            f"rows.parquet and run.json disagree about what {info['name']} observed: {sorted(names ^ wanted)}"
        )
    lines = [
        {"key": key, "label": label, SECONDS: spent, **line}
        for key, label, spent, line in zip(
            rows["key"], rows["label"], seconds.to_pylist(), column.to_pylist(), strict=True
        )
        if line is not None
    ]
    vars(part)["lines"] = pd.DataFrame(lines, columns=[*OWN, *info["fields"]])
    vars(part)["failures"] = {}
    return part
