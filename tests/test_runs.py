"""scripts.runs: what lies there, and what is removed, and what is not."""

import subprocess
import sys
from pathlib import Path

import pytest

from eval.records.removing import remove
from eval.records.rows import Rows
from scripts.runs import main as runs
from tests.synthetic_runs import rows, write_run


@pytest.fixture
def three(tmp_path):
    """(records, the folders of two gradcam runs that differ in n, and of one center run)."""
    folders = [
        write_run(tmp_path, "gradcam", rows(10, 0.5), settings={"n": 5}),
        write_run(tmp_path, "gradcam", rows(10, 0.6, 1), settings={"n": 20}),
        write_run(tmp_path, "center", rows(4, 0.3, 2, blind=True), model=None),
    ]
    return str(tmp_path / "records"), folders


def test_the_list_says_what_each_run_is(three, capsys):
    records, folders = three
    (folders[0].parent / "stray").mkdir()
    assert runs(["--records", records]) == 0
    lines = capsys.readouterr().out.splitlines()
    first = next(line for line in lines if line.startswith(folders[0].name))
    count = len(rows(10, 0.5))
    assert f"{count} of {count} rows  20" in first
    assert lines[lines.index(first) + 1].strip() == "n=5"
    center = next(line for line in lines if line.startswith(folders[2].name))
    assert len(lines) == 6
    assert lines[lines.index(center) + 1].strip() != "n=20"
    assert any(line.startswith("stray  cannot be read: ") for line in lines)
    assert runs(["--records", str(Path(records) / "nothing")]) == 0
    assert "holds no run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "gone"),
    [("gradcam", {0, 1}), ("gradcam [n=5]", {0}), ("GRADCAM", {0, 1}), ("center", {2})],
)
def test_names_mean_folders_or_methods(three, name, gone, capsys):
    records, folders = three
    assert runs(["remove", name, "--yes", "--records", records]) == 0
    assert {index for index, folder in enumerate(folders) if not folder.exists()} == gone
    assert capsys.readouterr().out.count("removed ") == len(gone)
    assert not list(Path(records).glob(".removed*"))


def test_a_text_that_several_names_hold_removes_nothing_unasked(three, capsys, monkeypatch):
    records, folders = three
    assert runs(["remove", "pascal", "--yes", "--records", records]) == 1
    said = capsys.readouterr().err
    assert all(folder.name in said for folder in folders)
    assert all(folder.exists() for folder in folders)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda question: "y")
    assert runs(["remove", "pascal", "--records", records]) == 0
    assert not any(folder.exists() for folder in folders)


def test_a_folders_own_name_means_that_one_alone(three):
    records, folders = three
    longer = folders[0].rename(folders[0].with_name(folders[2].name + "x"))
    assert runs(["remove", folders[2].name, "--yes", "--records", records]) == 0
    assert longer.exists()
    assert not folders[2].exists()


def test_nothing_goes_without_an_answer(three, capsys):
    records, folders = three
    done = subprocess.run(
        [sys.executable, "-m", "scripts.runs", "remove", "center", "--records", records],
        cwd=Path(__file__).parent.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--yes removes without asking" in done.stderr
    assert runs(["remove", "centre", "--yes", "--records", records]) == 1
    assert "there is no run 'centre'; near names:" in capsys.readouterr().err
    assert runs(["delete", "center", "--records", records]) == 1
    assert all(folder.exists() for folder in folders)


@pytest.mark.parametrize(("answer", "left"), [("y", False), ("yes", False), ("n", True), ("", True)])
def test_it_asks_on_a_terminal(three, monkeypatch, answer, left):
    records, folders = three
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert runs(["remove", folders[2].name, "--records", records]) == int(left)
    assert folders[2].exists() == left


def test_a_run_that_is_written_stays(three):
    _, folders = three
    with Rows(folders[0], (2, 3)), pytest.raises(RuntimeError, match="being written"):
        remove(folders[0])
    assert (folders[0] / "run.json").exists()


def test_a_link_is_removed_and_not_what_it_leads_to(three, tmp_path):
    _, folders = three
    link = folders[0].with_name("link")
    link.symlink_to(folders[2])
    remove(link)
    assert folders[2].exists()
    assert not link.is_symlink()
