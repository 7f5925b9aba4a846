"""A short run of scripts/chaos.py: killed runs, shards and compactions end in the rows of undisturbed ones."""

import json

import pytest

from scripts import chaos


@pytest.fixture
def one_thread():
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_runs_end_in_the_rows_of_undisturbed_ones(tmp_path):
    report = chaos.chaos(tmp_path, kills=20, pictures=90, seconds=0.1, pause=0.15, seed=1, network=False)
    assert report["kills"] == 20
    assert report["restarts"] >= 20
    assert report["rows"] > 2 * 90
    # The kills struck while rows were written: some lie in the file of a compaction, and all heat maps are whole.
    assert list(tmp_path.glob("disturbed/records/*/rows.parquet"))
    assert list(tmp_path.glob("disturbed/records/*/maps/*/*.npy"))
    assert len(list(tmp_path.glob("disturbed/logs/*.log"))) == 4


def test_a_lost_a_changed_and_a_doubled_row_would_be_seen(tmp_path):
    folder = tmp_path / "records" / "demo.waiting.0"
    folder.mkdir(parents=True)
    rows = [{"key": f"p{n}", "label": "cat", "x": n, "seconds": n} for n in range(3)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = sorted(chaos.lines(tmp_path, "waiting"))
    assert len(found) == 3
    assert "seconds" not in found[0]
    assert "2 rows instead of 3; 1 are lost" in chaos.differences(found[:2], found)
    assert "4 rows instead of 3; 0 are lost or differ, 0 should not" in chaos.differences([*found, found[0]], found)
