"""Rows on disk: who may write, what a damaged file gives, shards and compaction."""

import errno
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eval.files import journal, locks
from eval.files.journal import Journal
from eval.records import run_folder
from eval.records.rows import Rows, compact, read_rows

ROOT = Path(__file__).parent.parent
HOLD = """
import os, sys, time
from pathlib import Path
from eval.records.rows import Rows
with Rows(Path(sys.argv[1])) as rows:
    rows.append([{"key": "first", "label": "cat"}])
    if len(sys.argv) > 2 and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    print("ready", flush=True)
    time.sleep(60)
"""


def row(key, label="cat", **more):
    return {"key": key, "label": label} | more


def holder(folder, *more):
    """A living process that writes the run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder), *more], cwd=ROOT, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout.readline() == b"ready\n"
    return process


@pytest.mark.parametrize("forks", [False, True])
def test_a_living_writer_keeps_others_out_and_a_killed_one_does_not(tmp_path, forks):
    process = holder(tmp_path / "run", *(["forks"] if forks else []))
    try:
        with pytest.raises(RuntimeError, match=rf"rows\.jsonl is being written by process {process.pid} on "):
            Rows(tmp_path / "run").__enter__()
        with pytest.raises(RuntimeError, match="being written"):
            compact(tmp_path / "run")
        process.send_signal(signal.SIGKILL)  # a worker that it has forked lives on
        process.wait()
        with Rows(tmp_path / "run") as rows:
            rows.append([row("second")])
        assert [actual["key"] for actual in read_rows(tmp_path / "run")] == ["first", "second"]
    finally:
        os.killpg(process.pid, signal.SIGKILL) if forks else process.kill()
        process.wait()
        process.stdout.close()


def test_one_process_cannot_write_a_run_twice(tmp_path):
    with Rows(tmp_path), pytest.raises(RuntimeError, match="already being written by this process"):
        Rows(tmp_path).__enter__()
    with Rows(tmp_path):
        pass


def test_shards_of_one_division_work_side_by_side_and_other_divisions_wait(tmp_path):
    with Rows(tmp_path, (1, 2)) as first, Rows(tmp_path, (2, 2)) as second:
        first.append([row("a")])
        second.append([row("b")])
        for other in (None, (1, 3), (2, 16)):
            with pytest.raises(RuntimeError, match=r"another shard= setting \(\.rows\.[12]-of-2\.lock\)"):
                Rows(tmp_path, other).__enter__()
        first.append([row("c")])
    with Rows(tmp_path, (1, 3)) as rows:
        rows.append([row("d")])
    assert sorted(actual["key"] for actual in read_rows(tmp_path)) == list("abcd")
    assert sorted(path.name for path in tmp_path.glob("rows*")) == [
        "rows.1-of-2.jsonl",
        "rows.1-of-3.jsonl",
        "rows.2-of-2.jsonl",
    ]


def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    (tmp_path / ".rows.1-of-2.lock").touch()
    with Rows(tmp_path):  # the other division's lock is free
        pass
    monkeypatch.setattr(fcntl, "lockf", refuse)
    with pytest.raises(RuntimeError, match=r"has no locks.*-o flock.*; set results=DIR"):
        Rows(tmp_path).__enter__()
    with pytest.raises(OSError, match=r"has no locks.*\.rows\.1-of-2\.lock"):
        locks.is_held(tmp_path / ".rows.1-of-2.lock")
    assert not locks._held


def written(path, count=3):
    with Journal(path) as lines:
        for number in range(count):
            lines.append([row(f"p{number}", label) for label in ("cat", "dog")])
    return path.read_bytes()


@pytest.mark.parametrize("rest", [b'{"key": "p', b'{"key": "p9", "label": "cat"} \n', b"\0" * 5000, b'{"k\0\0\0'])
def test_what_a_kill_or_a_power_loss_leaves_is_cut_off(tmp_path, rest):
    path = tmp_path / "rows.jsonl"
    whole = written(path)
    path.write_bytes(whole + rest)
    assert len(read_rows(tmp_path)) == 6
    with Rows(tmp_path) as rows:
        assert path.read_bytes() == whole
        rows.append([row("p9")])
    assert len(read_rows(tmp_path)) == 7


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_cut_anywhere_holds_whole_pictures(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("cut")
    whole = written(folder / "rows.jsonl", 4)
    cut = data.draw(st.integers(0, len(whole)))
    (folder / "rows.jsonl").write_bytes(whole[:cut] + data.draw(st.sampled_from([b"", b"\0", b"\0" * 300])))
    pictures = [actual["key"] for actual in read_rows(folder)]
    assert pictures == [f"p{number}" for number in range(len(pictures) // 2) for _ in "cd"]
    with Rows(folder):
        pass
    kept = (folder / "rows.jsonl").read_bytes()
    assert whole.startswith(kept)
    assert len(kept) > cut - len(whole) // 4
    assert [actual["key"] for actual in read_rows(folder)] == pictures


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"key": "a", "label": "cat"}\r\n', "lines that are not rows"),
        (b'{"key": "a", "label": "cat"}\nhello\n', "lines that are not rows"),
        (b'hello\n{"key": "a", "label": "cat"}\n', None),
    ],
)
def test_an_edited_file_is_refused_and_never_cut(tmp_path, content, words):
    (tmp_path / "rows.jsonl").write_bytes(content)
    if words:
        with pytest.raises(ValueError, match=words):
            Rows(tmp_path).__enter__()
    else:
        with pytest.raises(ValueError, match=r"rows\.jsonl, line 1 is not a row"):
            read_rows(tmp_path)
    assert (tmp_path / "rows.jsonl").read_bytes() == content


@pytest.mark.parametrize("where", [0.25, 0.99])
@pytest.mark.parametrize("count", [1, 20])
@pytest.mark.parametrize("act", [read_rows, compact, lambda folder: Rows(folder).__enter__()])
def test_zeros_with_anything_behind_them_are_damage_and_nothing_is_cut(tmp_path, where, count, act):
    path = tmp_path / "rows.jsonl"
    whole = written(path, 9)
    at = int(len(whole) * where) - count
    path.write_bytes(whole[:at] + b"\0" * count + whole[at + count :])
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"rows\.jsonl is damaged: .*zero bytes, and more.*Nothing of it is cut"):
        act(tmp_path)
    assert path.read_bytes() == before


def test_opening_a_long_file_reads_its_end_only(tmp_path, monkeypatch):
    path = tmp_path / "rows.jsonl"
    line = json.dumps(row("x" * 2000)).encode() + b"\n"
    with open(path, "wb") as stream:
        stream.truncate(500 << 20)  # a hole: what would be read of it are zeros
        stream.seek(0, 2)
        stream.write(line * 5000)
    sizes = []
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, size, start: sizes.append(size) or real(file, size, start))
    with Journal(path) as lines:
        lines.append([row("last")])
    assert 0 < sum(sizes) <= journal.WINDOW
    assert path.stat().st_size > 500 << 20


def test_a_row_that_stands_twice_is_found(tmp_path):
    for shard in ((1, 2), (2, 2)):
        with Rows(tmp_path, shard) as rows:
            rows.append([row("a", x=1.0)])
    with pytest.raises(ValueError, match=r"picture a, class cat twice, see rows\.1-of-2\.jsonl"):
        read_rows(tmp_path)


def test_a_file_that_others_change_or_remove_stops_the_run(tmp_path):
    for name, harm in (("changed", lambda p: p.open("a").write("x\n")), ("removed", lambda p: p.unlink())):
        with Rows(tmp_path / name) as rows:
            rows.append([row("a")])
            harm(rows.path)
            with pytest.raises(RuntimeError, match=f"was {name} by another program"):
                rows.append([row("b")])


def test_rows_that_are_no_json_are_refused_before_they_are_written(tmp_path):
    with Rows(tmp_path) as rows:
        for bad in (float("nan"), float("inf"), object()):
            with pytest.raises((ValueError, TypeError)):
                rows.append([row("a"), row("b", x=bad)])
    assert (tmp_path / "rows.jsonl").read_bytes() == b""


values = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False))
keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(st.dictionaries(keys, st.tuples(values, st.booleans(), st.integers(-(2**40), 2**40)), max_size=8), st.booleans())
@settings(max_examples=40, deadline=None)
def test_any_rows_come_back_the_same_loose_or_compacted(tmp_path_factory, found, more):
    folder = tmp_path_factory.mktemp("any")
    expected = []
    for half in (0, 1):
        with Rows(folder) as rows:
            for key in list(found)[half::2]:
                number, flag, count = found[key]
                expected.append(row(key, x=number, flag=flag, n=count) | ({"extra": key} if half and more else {}))
                rows.append(expected[-1:])
        assert read_rows(folder) == expected or half
        assert compact(folder) == len(expected)
    filled = [{name: value for name, value in one.items() if value is not None} for one in read_rows(folder)]
    assert filled == [{name: value for name, value in one.items() if value is not None} for one in expected]


def test_a_reader_beside_a_writer_and_a_compaction_misses_and_doubles_nothing(tmp_path):
    count, wrong = 60, []

    def work():
        for number in range(count):
            with Rows(tmp_path, sync="second") as rows:
                rows.append([row(f"p{number}", label) for label in ("cat", "dog")])
            acknowledged.append(number)
            if number % 3 == 2:
                compact(tmp_path)

    acknowledged: list[int] = []
    writer = threading.Thread(target=work)
    writer.start()
    looks = 0
    while writer.is_alive():
        before = len(acknowledged)
        actual = read_rows(tmp_path)
        looks += 1
        if not 2 * before <= len(actual) <= 2 * count or len(actual) % 2:
            wrong.append((before, len(actual)))
    writer.join()
    assert not wrong
    assert looks > 5
    assert len(read_rows(tmp_path)) == 2 * count


def test_shards_that_start_at_once_describe_one_run(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "provenance", lambda device: {"hardware": device, "date": os.urandom(4).hex()})
    who = {"dataset": {"name": "d"}, "model": None, "method": {"name": "m"}}
    protocols = [{"name": f"protocol {number}"} for number in range(8)]

    def start(protocol, device):
        run_folder.describe(tmp_path, who, {}, protocol, {"all": 1, "diff": 0}, 0, ["cat"], device)

    threads = [
        threading.Thread(target=start, args=(protocol, f"machine {number % 3}"))
        for number, protocol in enumerate(protocols)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["protocols"] == protocols
    machines = [made["hardware"] for made in (content["provenance"], *content["resumed"])]
    assert sorted(machines) == ["machine 0", "machine 1", "machine 2"]
    before = (tmp_path / "run.json").stat()
    start(protocols[0], "machine 0")
    assert (tmp_path / "run.json").stat().st_mtime_ns == before.st_mtime_ns
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        start(protocols[0], "machine 0")
