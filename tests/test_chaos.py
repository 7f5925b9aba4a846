"""Killed runs end in the rows of undisturbed ones, and the program that shows it sees each of these sabotages."""

import fcntl
import json
import os
import random

import pytest
import torch

from eval.files import journal, locks
from eval.files.journal import Journal
from eval.game.region import Region
from eval.measures.map_measures import cases_of
from eval.records.rows import Rows
from eval.running import evaluation
from scripts.maintain.chaos import chaos, proofs

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


def test_killed_runs_end_in_the_rows_of_undisturbed_ones(tmp_path):
    threads = torch.get_num_threads()
    report = chaos(tmp_path, kills=20, pictures=90, seconds=0.1, pause=0.15, seed=1, network=False)
    assert report["kills"] == 20
    assert report["restarts"] >= 20
    assert report["rows"] > 2 * 90
    assert report["torn"] == 5
    assert torch.get_num_threads() == threads
    # The kills struck while rows were written: some lie in the file of a compaction, and all heat maps are whole.
    assert list(tmp_path.glob("disturbed/records/*/rows.parquet"))
    assert list(tmp_path.glob("disturbed/records/*/maps/*/*.npy"))
    assert len(list(tmp_path.glob("disturbed/logs/*.log"))) == 4


class Without:
    """A module with some of its functions replaced."""

    def __init__(self, module, **changed):
        self.module = module
        self.changed = changed

    def __getattr__(self, name):
        return self.changed.get(name) or getattr(self.module, name)


append = Journal.append


def some_keys_dropped(self, lines):
    kept = [line for line in lines if not line["key"].endswith("7")]
    if kept:
        append(self, kept)


def written_twice(self, lines):
    append(self, lines)
    if lines and lines[0]["key"].endswith("3"):
        append(self, lines)


SABOTAGES = {
    "fixed keys are dropped": ([(Journal, "append", some_keys_dropped)], "are missing"),
    "rows are written twice": ([(Journal, "append", written_twice)], r"twice|does not come to its end"),
    "every point is a hit": ([(Region, "contains", lambda self, x, y: True)], "by its boxes"),
    "every point is a miss": ([(Region, "contains", lambda self, x, y: False)], "by its boxes"),
    "another seed": ([(evaluation, "seed_for", lambda seed, key: 7)], "the map that its seed draws is"),
    "the lowest point": (
        [(evaluation, "cases_of", lambda answer, *more: cases_of(-answer, *more))],
        "the map that its seed draws is",
    ),
    "no fsync": ([(journal, "os", Without(os, fsync=lambda file: None))], "a power loss would take them"),
    "no fsync of folders": ([(journal, "sync_folder", lambda folder: None)], "a power loss would take them"),
    "no fsync anywhere": ([(os, "fsync", lambda file: None)], "not the system's own"),
    "no locks": (
        [(locks, "fcntl", Without(fcntl, lockf=lambda *given: None))],
        r"a second writer was not refused|does not come to its end",
    ),
    "shards beside a whole": (
        [(Rows, "_refuse_other_divisions", lambda self: None)],
        "a shard was not refused",
    ),
    "no group marks": (
        [(journal, "encoded", lambda lines: b"".join(json.dumps(line).encode() + b"\n" for line in lines))],
        "rows were cut off after",
    ),
    "nothing is cut": ([(journal, "os", Without(os, ftruncate=lambda file, length: None))], "does not continue"),
}


@pytest.mark.parametrize("name", SABOTAGES)
def test_sabotage_is_seen(name, tmp_path, monkeypatch):
    changes, said = SABOTAGES[name]
    for where, what, other in changes:
        monkeypatch.setattr(where, what, other)
    with pytest.raises(RuntimeError, match=said):
        chaos(tmp_path, kills=0, pictures=9, seconds=0.0, pause=0.1, seed=1, network=False)


def test_lost_and_doubled_rows_at_random_are_seen(tmp_path, monkeypatch):
    chance = random.SystemRandom()
    monkeypatch.setattr(Journal, "append", lambda self, lines: chance.random() < 0.3 or append(self, lines))
    with pytest.raises(RuntimeError, match=r"are missing|lost or differ"):
        chaos(tmp_path, kills=0, pictures=30, seconds=0.0, pause=0.1, seed=1, network=False)


def test_a_lost_a_changed_and_a_doubled_row_would_be_seen():
    rows = [{"key": f"p{n}", "label": "cat", "x": n, "seconds": n} for n in range(3)]
    proofs.alike("run", rows[::-1], [row | {"seconds": 9} for row in rows])
    for other, said in (
        (rows[:2], "2 rows instead of 3; 1 are lost"),
        ([*rows, rows[0]], "4 rows instead of 3; 0 are lost or differ, 0 should not be there, .* stands twice"),
        ([*rows[:2], rows[2] | {"x": 7}], "3 rows instead of 3; 1 are lost or differ, 1 should not"),
    ):
        with pytest.raises(RuntimeError, match=said):
            proofs.alike("run", other, rows)
