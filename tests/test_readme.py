"""The README from its first line to its last: a fresh copy does what the first screen says, and every command runs.

tests/test_examples.py and tests/test_tutorial.py run the sections that need a photograph or a method, and
tests/test_docs.py parses the commands of every page.
"""

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib

import pytest

from eval.files.places import ROOT
from eval.running.config import load_jobs
from tests import pages
from tests.pages import blocks, lines
from tests.synthetic_runs import rows, write_run

README = pages.read("README.md")
TABLE = pages.read("docs/howto/table.md")
ELSEWHERE = ("Explain a picture", "A new method in ten minutes")


def sections() -> dict[str, str]:
    return pages.sections(README)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_sections_that_other_files_run_are_there():
    assert set(ELSEWHERE) <= set(sections())


def test_every_command_is_one_of_this_project():
    for name, text in sections().items():
        for line in lines(text):
            words = shlex.split(line, comments=True)
            known = words[:2] == ["python", "run.py"] or words[:2] == ["python", "-m"] or words[0] in ("echo", "export")
            assert known or (name == "" and words[0] == "python3"), f"{line!r} stands in no test"


def test_every_run_composes():
    for name, text in sections().items():
        for line in lines(text):
            if line.startswith("python run.py"):
                settings = [word.replace("=DIR", "=.") for word in shlex.split(line, comments=True)[2:]]
                swept, jobs = load_jobs(settings)
                assert jobs, f"{line!r} under {name!r} runs nothing"
                assert swept == any(word.startswith("experiment=") for word in settings)


@pytest.fixture
def records(tmp_path, monkeypatch):
    """The current folder, in which runs of the README's methods lie where run.py writes them."""
    config = {"dataset": {"build": {"_target_": "eval.datasets.voc.VOC", "root": "gone"}}, "model": {}}
    for number, method in enumerate(("gradcam", "gpnncam")):
        write_run(tmp_path / "results", method, rows(30, 0.5 + 0.2 * number, number), "demo", config=config)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_reads_rows_does(records, capsys):
    text = TABLE + "\n".join(part for name, part in sections().items() if name not in ELSEWHERE)
    found = [shlex.split(line, comments=True) for line in lines(text) if line.startswith("python -m scripts.")]
    assert {words[2] for words in found} >= {"scripts.table", "scripts.compare", "scripts.report", "scripts.runs"}
    for words in found:
        folder = (ROOT / words[2].replace(".", "/")).is_dir()
        script = importlib.import_module(f"{words[2]}.__main__" if folder else words[2])
        assert script.main(words[3:]) == 0, f"{words}: {capsys.readouterr().err}"
        assert capsys.readouterr().out.strip(), f"{words} says nothing"
    assert (records / "results/report.html").stat().st_size > 10_000


def test_what_python_reads_is_a_frame(records):
    found: dict = {}
    for code in blocks(TABLE, "python"):
        exec(code, found)
    assert list(found["rows"]["method"].unique()) == ["gpnncam", "gradcam"]


def test_the_first_screen_installs_what_the_project_names():
    installs = [line for line in lines(sections()[""]) if "pip install" in line]
    assert len(installs) == 2
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for line in installs:
        venv, pip, command = (shlex.split(part) for part in line.split("&&"))
        assert venv == ["python3", "-m", "venv", ".venv"]
        assert pip[:4] == [".venv/bin/pip", "install", "-e", ".[dev]"]
        assert "dev" in settings["optional-dependencies"]
        assert (ROOT / pip[pip.index("-c") + 1]).is_file()
        assert command in ([".venv/bin/python", "run.py"], [".venv/bin/python", "-m", "pytest"])


def test_a_fresh_copy_runs_the_main_job(tmp_path):
    """What git tracks, or would, is enough: no file that only this folder has."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no git checkout")
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    command = [sys.executable, *shlex.split(lines(sections()[""])[0].split("&&")[-1])[1:]]
    less = ["limit=1", "dataset.build.count=2", "method.build.n=2"]
    done = subprocess.run(
        [*command, *less], cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (shown,) = (block.splitlines() for block in blocks(sections()[""], ""))
    printed = re.search(r"^\| method .*", done.stdout, re.MULTILINE)[0]
    assert cells(printed)[:2] == cells(shown[0])[:2]
    assert {cells(line)[0] for line in shown[3:]} <= {
        cells(line)[0] for line in done.stdout.splitlines() if "|" in line
    }
    assert [*(tmp_path / "results/pictures").glob("*.png")]
