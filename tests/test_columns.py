"""Rows read as columns: equal to the exact reader's in every value, and never more lenient."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.files.journal import encoded
from eval.records import columnar
from eval.records.loading import frame, load_runs, read_frame, readable
from eval.records.rows import Rows, compact, read_rows
from eval.records.schema import FIELDS
from tests import test_faults_records as faults
from tests.synthetic_runs import rows, write_run
from tests.test_schema import BAD, GOOD, ROW


def lines_of(folder, *texts):
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "rows.jsonl").write_bytes(b"".join(t if isinstance(t, bytes) else t.encode() for t in texts))
    return folder


def outcome(read):
    """The frame, or what is said about the damage."""
    try:
        return read()
    except ValueError as error:
        return str(error)


def both(folder):
    """What `read_frame` gives, after a comparison with the exact reader alone; and whether columns were enough."""
    table = columnar.read(folder)
    exact = outcome(lambda: frame(read_rows(folder), folder))
    found = outcome(lambda: read_frame(folder))
    if isinstance(exact, str):
        assert table is None, f"read in spite of: {exact}"
        assert found == exact
    else:
        pd.testing.assert_frame_equal(found, exact)
    return found, table is not None


def test_large_runs_in_shards_are_read_as_columns_and_equal(tmp_path, monkeypatch):
    monkeypatch.setattr(columnar, "BLOCK", 100_000)  # many blocks a file
    content = rows(10_000, 0.6, 3, classes=30)
    for number, row in enumerate(content):
        row["picture"] = f"{number:016x}" if number % 3 else None
        row["key"] = f'ä "{row["key"]}\\ \u2028/b'
        row["x"], row["score"] = (number % 7, 3) if number % 5 == 0 else (number / 7, -1e-7 * number)
        row["rank"] = None if number % 11 == 0 else number % 4
    for shard in (None, (1, 2), (2, 2)):
        with Rows(tmp_path, shard, "second") as out:
            for start in range((shard or (0,))[0] * 50, len(content), 150):
                out.append(content[start : start + 50])
    found, by_columns = both(tmp_path)
    assert by_columns
    assert len(found) == len(content) > 15_000
    assert compact(tmp_path) == len(content)
    packed, by_columns = both(tmp_path)
    assert by_columns
    pd.testing.assert_frame_equal(packed, found)
    back = {(row["key"], row["label"]): row for row in read_rows(tmp_path)}
    assert back == {(row["key"], row["label"]): row for row in content}


def test_a_run_without_rows_and_one_without_a_picture_file(tmp_path):
    found, by_columns = both(lines_of(tmp_path / "none"))
    assert by_columns
    assert list(found) == list(FIELDS)
    found, by_columns = both(lines_of(tmp_path / "one", encoded([ROW | {"picture": None, "energy": None}])))
    assert by_columns
    assert found["picture"].isna().all()


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in GOOD.items() for value in values])
def test_values_at_the_border_are_read_as_columns(tmp_path, name, value):
    _, by_columns = both(lines_of(tmp_path / "run", encoded([ROW | {"label": "other"}, ROW | {name: value}])))
    assert by_columns


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_values_beyond_are_refused_in_the_exact_reader_s_words(tmp_path, name, value):
    lines = json.dumps(ROW | {"label": "other"}) + "\n" + json.dumps(ROW | {name: value}) + "\n"
    found, _ = both(lines_of(tmp_path / "run", lines))
    assert isinstance(found, str)
    assert name in found


LINE = json.dumps(ROW) + "\n"
OTHER = json.dumps(ROW | {"label": "other"}) + "\n"
ODD = {
    "an empty line": (OTHER, "\n", LINE),
    "no object": ("null\n", LINE),
    "a number": ("5\n", LINE),
    "a list": (f"[{LINE.strip()}]\n",),
    "two rows in a line, and an empty one": (OTHER[:-1], LINE, "\n"),
    "a row over two lines": (LINE.replace(", ", ",\n", 1),),
    "a field twice": (OTHER, LINE.replace('"x": ', '"x": 1.0, "x": ')),
    "a field twice and one not at all": (OTHER, LINE.replace('"energy": ', '"rank": 1, "old": ')),
    "a field that may be empty not at all": (OTHER, LINE.replace('"memory_mb": 500', '"memory": null')),
    "the name of a field in a text": (LINE.replace('"key": "', '"key": "memory_mb: null'),),
    "a name within a text, and the field lost": (
        OTHER, json.dumps({n: v for n, v in ROW.items() if n != "energy"} | {"key": '"energy": null'}) + "\n",
    ),
    "a byte order mark": ("\ufeff", LINE),
    "bytes that are no text": (LINE.encode().replace(b'"key": "', b'"key": "\xff'),),
    "half a character": (LINE.replace('"key": "', '"key": "\\ud800'),),
    "zeros and more": (LINE, b"\0\0", OTHER),
    "zeros at the end": (LINE, b"\0\0"),
    "a torn line": (LINE, OTHER[:40]),
    "a torn picture": (LINE, OTHER[:-1], " \n"),
    "line ends of another system": (LINE.replace("\n", "\r\n"),),
    "no spaces": (json.dumps(ROW, separators=(",", ":")) + "\n",),
    "a whole number beyond 64 bits": (LINE.replace('"width": 100', '"width": 1' + "0" * 30),),
    "a whole number with a point": (LINE.replace('"rank": ', '"rank": 1.0, "was": '),),
    "not a number": (LINE.replace('"x": 3.0', '"x": NaN'),),
    "another row of the same pair": (LINE, LINE.replace('"x": 3.0', '"x": 4.0')),
    "the same row again": (LINE, LINE),
}  # fmt: skip


@pytest.mark.parametrize("what", ODD)
def test_what_the_suite_does_not_write_is_left_to_the_exact_reader(tmp_path, what):
    both(lines_of(tmp_path / "run", *ODD[what]))


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_bytes_changed_anywhere_are_seen_or_harmless(tmp_path_factory, data):
    text = encoded([ROW, ROW | {"label": "other", "energy": None}]) + encoded([ROW | {"label": "third"}])
    for _ in range(data.draw(st.integers(1, 2))):
        at = data.draw(st.integers(0, len(text) - 1))
        new = data.draw(
            st.sampled_from([b"", b"0", b"-", b'"', b"\\", b"\n", b" ", b",", b"}", b"{", b"null", b"1e5", b"\xc3"])
        )
        text = text[:at] + new + text[at + data.draw(st.sampled_from([0, 1, 7])) :]
    both(lines_of(tmp_path_factory.mktemp("changed"), text))


def test_rows_that_a_killed_compaction_left_twice_count_once(tmp_path):
    with Rows(tmp_path) as out:
        out.append(content := rows(40, 0.5))
    before, loose = read_frame(tmp_path), (tmp_path / "rows.jsonl").read_bytes()
    compact(tmp_path)
    (tmp_path / "rows.jsonl").write_bytes(loose)
    found, by_columns = both(tmp_path)
    assert by_columns
    pd.testing.assert_frame_equal(found, before)
    (tmp_path / "rows.jsonl").write_bytes(encoded([content[0] | {"x": 9.5}]))
    found, _ = both(tmp_path)
    assert "twice, see rows.parquet" in found


def test_a_packed_file_of_other_columns_is_left_to_the_exact_reader(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    for change in (
        {"inside": [1]},
        {"x": ["3"]},
        {"more": [1]},
        {"rank": [1.0]},
        {"energy": [None]},
        {"x": [float("nan")]},
    ):
        parquet.write_table(pa.table({n: [v] for n, v in ROW.items()} | change), tmp_path / "rows.parquet")
        found, _ = both(tmp_path)
        assert isinstance(found, str) != (change == {"energy": [None]})
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and nothing else")
    assert "rows.parquet cannot be read" in both(tmp_path)[0]


def test_small_runs_are_read_together_and_a_bad_one_hides_none(tmp_path):
    folders = [write_run(tmp_path, f"m{n}", rows(4 + n, 0.5, n)) for n in range(12)]
    text = (folders[5] / "rows.jsonl").read_text().replace('"ties": 1', '"ties": 0', 1)
    (folders[5] / "rows.jsonl").write_text(text)
    compact(folders[7])
    (folders[8] / "rows.jsonl").rename(folders[8] / "rows.1-of-2.jsonl")
    runs, bad = load_runs(tmp_path / "records")
    good = readable(runs, bad)
    assert [each.folder for each in bad] == [folders[5]]
    assert "as ties" in bad[0].why
    assert len(good) == 11
    for run in good:
        pd.testing.assert_frame_equal(run.rows, frame(read_rows(run.folder), run.folder), check_index_type="exact")
        assert run.part.pictures == run.rows["key"].nunique()
        np.testing.assert_array_equal(run.part.column("distance"), run.rows["distance"])


def test_sound_small_runs_share_one_batch(tmp_path):
    for n in range(5):
        write_run(tmp_path, f"m{n}", rows(4, 0.5, n))
    runs = readable(*load_runs(tmp_path / "records"))
    assert len({id(run.part.batch) for run in runs}) == 1
    assert sum(len(run.part) for run in runs) == len(runs[0].part.batch.frame)


@pytest.mark.parametrize("ending", ["kill", "power loss with zeros"])
def test_a_compaction_of_columns_dies_at_every_system_call(monkeypatch, tmp_path, ending):
    def whole(key, seconds=0.5):
        own = {"x": 1.5, "energy": None, "seconds": seconds}
        return [ROW | {"key": key, "label": label} | own for key, label in faults.PICTURES[key]]

    monkeypatch.setattr(faults, "rows_of", whole)
    read = []
    monkeypatch.setattr(columnar, "packed", lambda table, real=columnar.packed: read.append(len(table)) or real(table))
    for dies_at in range(1, 1 + len(faults.calls(monkeypatch, tmp_path / "whole")), 3):
        folder = tmp_path / str(dies_at) / "run"
        disk, acknowledged = faults.killed(monkeypatch, folder, "picture", dies_at, False)
        if ending.startswith("power"):
            disk.lose_power(zeros=True)
        faults.check(folder, acknowledged)
    assert read
