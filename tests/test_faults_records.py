"""The write path killed between any two system calls, and after a power loss at each of them."""

import contextlib
import json
import os

import pytest

from eval.records.rows import Rows, compact, read_failures, read_rows, write_json
from tests.disk import Disk, Killed, put_in

PICTURES = {
    f"picture {i}": [(f"picture {i}", label) for label in ("cat", "dog", "bird")[: 1 + i % 3]] for i in range(6)
}


def rows_of(key, seconds=0.5):
    return [{"key": key, "label": label, "x": 1.5, "energy": None, "seconds": seconds} for key, label in PICTURES[key]]


def todo(folder):
    done = {(row["key"], row["label"]) for row in read_rows(folder)} if folder.exists() else set()
    return [key for key, pairs in PICTURES.items() if not done.issuperset(pairs)]


def work(folder, sync, acknowledged):
    """What a run does over its life: three starts, one failing picture, two compactions."""
    for _ in range(3):
        with Rows(folder, None, sync) as rows:
            for key in todo(folder)[:2]:
                rows.append(rows_of(key))
                acknowledged.append(key)
            rows.fail("picture bad", "it is damaged")
        compact(folder)


def killed(monkeypatch, folder, sync, dies_at, torn):
    disk, acknowledged = Disk(dies_at, torn), []
    put_in(monkeypatch, disk)
    try:
        work(folder, sync, acknowledged)
    except Killed:
        pass
    finally:
        disk.bury()
        put_in(monkeypatch, os)
    return disk, acknowledged


def check(folder, acknowledged):
    """Nothing acknowledged is lost, no picture is there in part, and the run can be finished and compacted."""
    before = {(row["key"], row["label"]) for row in read_rows(folder)} if folder.exists() else set()
    for key, pairs in PICTURES.items():
        there = before & set(pairs)
        assert there in (set(), set(pairs)), f"{key} is there in part"
        assert there or key not in acknowledged, f"{key} was acknowledged and is lost"
    with Rows(folder, None, "second") as rows:
        for key in todo(folder):
            rows.append(rows_of(key, seconds=0.7))
    compact(folder)
    actual = sorted((row["key"], row["label"], row["x"]) for row in read_rows(folder))
    assert actual == sorted((*pair, 1.5) for pairs in PICTURES.values() for pair in pairs)
    assert not list(folder.glob("rows*.jsonl"))
    assert not list(folder.glob(".rows.parquet.*"))


def calls(monkeypatch, folder):
    """Names of the system calls of the whole work, in order."""
    disk, acknowledged = killed(monkeypatch, folder, "picture", None, False)
    assert acknowledged == list(PICTURES)
    assert len(disk.calls) > 100
    assert disk.calls.count("write") > 9
    return disk.calls


@pytest.mark.parametrize("ending", ["kill", "kill in a write", "power loss", "power loss with zeros"])
def test_died_at_every_system_call(monkeypatch, tmp_path, ending):
    for dies_at, name in enumerate(calls(monkeypatch, tmp_path / "whole"), 1):
        if ending == "kill in a write" and name != "write":
            continue
        folder = tmp_path / str(dies_at) / "run"
        disk, acknowledged = killed(monkeypatch, folder, "picture", dies_at, ending == "kill in a write")
        if ending.startswith("power"):
            disk.lose_power(zeros=ending.endswith("zeros"))
        try:
            check(folder, acknowledged)
        except Exception as error:
            raise AssertionError(f"after {ending} at call {dies_at}, {disk.calls[-1]}: {error}") from error


def test_syncing_every_second_loses_nothing_by_a_kill_and_at_most_that_second_by_a_power_loss(monkeypatch, tmp_path):
    clock = [0.0]
    monkeypatch.setattr("eval.files.journal.time.monotonic", lambda: clock[0])
    for step, lost in ((0.1, ["picture 0", "picture 1", "picture 2"]), (0.6, ["picture 2"])):
        folder = tmp_path / str(step)
        disk = Disk()
        put_in(monkeypatch, disk)
        rows = Rows(folder, None, "second").__enter__()
        for number in range(3):
            clock[0] += step
            rows.append(rows_of(f"picture {number}"))
        disk.bury()
        put_in(monkeypatch, os)
        assert len(read_rows(folder)) == 6
        disk.lose_power(zeros=True)
        assert [key for key in ("picture 0", "picture 1", "picture 2") if key in todo(folder)] == lost
        check(folder, [])


@pytest.mark.parametrize(
    ("sync", "step", "syncs"),
    [("auto", 0.2, 10), ("auto", 0.01, 2), ("half", 0.2, 3), ("picture", 0.01, 100), ("second", 0.01, 1)],
)
def test_whoever_is_faster_than_the_disk_syncs_twice_a_second(monkeypatch, tmp_path, sync, step, syncs):
    """A sync takes 50 ms, a picture `step` seconds; what a power loss takes is of half a second."""
    clock = [0.0]
    monkeypatch.setattr("eval.files.journal.time.monotonic", lambda: clock[0])
    count = 10 if step == 0.2 else 100
    disk, seen = Disk(), []

    def slow(_result, _before, file):
        Disk.after_fsync(disk, None, None, file)
        if disk.paths[file].endswith("rows.jsonl"):
            seen.append(file)
            clock[0] += 0.05

    disk.after_fsync = slow
    put_in(monkeypatch, disk)
    rows = Rows(tmp_path, None, sync).__enter__()
    seen.clear()
    for number in range(count):
        clock[0] += step
        rows.append([{"key": f"p{number:03}", "label": "cat", "seconds": 0.5}])
    disk.bury()
    put_in(monkeypatch, os)
    disk.lose_power(zeros=False)
    assert len(seen) == pytest.approx(syncs, abs=1)
    gone = count - len(read_rows(tmp_path))
    assert gone * step <= {"auto": 0.5, "half": 0.5, "picture": 0.0, "second": 1.0}[sync] + 1e-9
    assert sync != "auto" or step < 0.05 or gone == 0


def test_jumping_wall_clock_does_not_matter(monkeypatch, tmp_path):
    times = iter([0.0, 4e9, -4e9] * 10)
    monkeypatch.setattr("time.time", lambda: next(times))
    folder = tmp_path / "run"
    for sync in ("picture", "second"):
        with Rows(folder, None, sync) as rows:
            for key in todo(folder)[:2]:
                rows.append(rows_of(key))
    check(folder, ["picture 0", "picture 1", "picture 2", "picture 3"])


class Broken(Disk):
    """Fails with an errno from the n-th call of one name on; a full disk takes half of the last write."""

    def __init__(self, name, error, nth=1, half=False):
        super().__init__()
        self.name, self.error, self.left, self.half = name, error, nth, half

    def __getattr__(self, name):
        call = super().__getattr__(name)
        if name != self.name:
            return call

        def failing(*args, **settings):
            self.left -= 1
            if self.left > 0:
                return call(*args, **settings)
            if self.left == 0 and self.half:
                return os.write(args[0], bytes(args[1])[: len(args[1]) // 2])
            raise OSError(self.error, os.strerror(self.error))

        return failing


@pytest.mark.parametrize("half", [False, True])
def test_full_disk_leaves_whole_pictures_and_says_so(monkeypatch, tmp_path, half):
    folder = tmp_path / "run"
    with Rows(folder) as rows:
        rows.append(rows_of("picture 0"))
        put_in(monkeypatch, Broken("write", 28, half=half))
        with pytest.raises(RuntimeError, match=r"rows\.jsonl cannot be written: No space left on device.*is safe"):
            rows.append(rows_of("picture 2"))
        put_in(monkeypatch, os)
        assert (folder / "rows.jsonl").read_bytes().count(b"\n") == 1
        with pytest.raises(RuntimeError, match="could not be written before"):
            rows.append(rows_of("picture 2"))
    check(folder, ["picture 0"])


@pytest.mark.parametrize("sync", ["picture", "second"])
def test_failed_sync_is_never_taken_for_a_written_row(monkeypatch, tmp_path, sync):
    folder = tmp_path / "run"
    monkeypatch.setattr("eval.files.journal.PENDING", 100)
    with Rows(folder, None, sync) as rows:
        put_in(monkeypatch, Broken("fsync", 5))
        with pytest.raises(RuntimeError, match=r"rows\.jsonl cannot be written: Input/output error"):
            rows.append(rows_of("picture 2"))
        put_in(monkeypatch, os)
    assert (folder / "rows.jsonl").read_bytes() == b""
    check(folder, [])


def test_full_disk_while_compacting_keeps_the_rows(monkeypatch, tmp_path):
    folder = tmp_path / "run"
    with Rows(folder) as rows:
        rows.append(rows_of("picture 2"))
    put_in(monkeypatch, Broken("write", 28, nth=3))  # the two notes in the locks come first
    with pytest.raises(RuntimeError, match=r"rows\.parquet cannot be written: No space left"):
        compact(folder)
    put_in(monkeypatch, os)
    assert sorted(path.name for path in folder.iterdir() if "rows.parquet" in path.name) == []
    check(folder, ["picture 2"])


def test_read_only_folder_is_named(monkeypatch, tmp_path):
    put_in(monkeypatch, Broken("mkdir", 30))
    with pytest.raises(RuntimeError, match=r"run cannot be written: Read-only file system; set results=DIR"):
        Rows(tmp_path / "run").__enter__()
    put_in(monkeypatch, Broken("open", 13))
    with pytest.raises(RuntimeError, match=r"cannot be written: Permission denied"):
        Rows(tmp_path).__enter__()


def test_folder_that_cannot_be_synced_is_no_error(monkeypatch, tmp_path):
    real = os.fsync
    disk = Disk()
    put_in(monkeypatch, disk)
    disk.fsync = lambda file: real(file) if not os.path.isdir(disk.paths[file]) else refuse()

    def refuse():
        raise OSError(22, "Invalid argument")

    with Rows(tmp_path / "run") as rows:
        rows.append(rows_of("picture 0"))
    assert len(read_rows(tmp_path / "run")) == 1


def test_replacing_a_file_shows_the_old_or_the_new_one_at_every_call(monkeypatch, tmp_path):
    path = tmp_path / "a" / "some.json"
    whole = Disk()
    put_in(monkeypatch, whole)
    write_json(path, {"number": 1})
    for power in (False, True):
        for dies_at in range(1, 2 + len(whole.calls)):
            disk = Disk(dies_at)
            put_in(monkeypatch, os)
            write_json(path, {"number": 1})
            put_in(monkeypatch, disk)
            with contextlib.suppress(Killed):
                write_json(path, {"number": 2, "long": "x" * 100})
            disk.bury()
            if power:
                disk.lose_power(zeros=True)
            assert json.loads(path.read_text())["number"] in (1, 2)


def test_failures_survive_and_go_once_the_picture_has_rows(monkeypatch, tmp_path):
    folder = tmp_path / "run"
    with Rows(folder) as rows:
        rows.fail("picture 1", "first message")
        rows.fail("picture 2", "damaged")
    with Rows(folder, (1, 2)) as rows:
        rows.fail("picture 1", "second message")
        rows.append(rows_of("picture 2"))
    assert set(read_failures(folder)) == {"picture 1"}
