"""The README's tutorial does what it says: its code blocks are executed as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests import pages

ROOT = Path(__file__).parent.parent
HEADING = "A new method in ten minutes"


def checkout(folder: Path) -> Path:
    """A folder that looks like a checkout, so that what the tutorial writes does not land in this one."""
    for name in ("run.py", "conf", "eval", "baselines", "gpnncam", "scripts"):
        (folder / name).symlink_to(ROOT / name)
    return folder


def test_the_tutorial(tmp_path):
    section = pages.sections(pages.read("README.md"))[HEADING]
    files, shell = pages.blocks(section, "python"), pages.blocks(section, "bash")
    assert len(files) == 1
    assert len(shell) == 1
    folder = checkout(tmp_path)
    name = re.match(r"# (\w+\.py)\n", files[0]).group(1)
    (folder / name).write_text(files[0], encoding="utf-8")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-e", "-c", "\n".join(shell)],
        cwd=folder,
        env=os.environ | {"PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    table, comparison = done.stdout[done.stdout.rindex("rows in") :].rsplit("p (Holm)", 1)
    for label in ("mine", "GradCAM", "LayerCAM", "Center"):
        assert re.search(rf"\| *{label} *\|.*\d\.\d+–\d\.\d+", table), f"{label} has no interval in the table"
    for label in ("GradCAM", "LayerCAM"):
        line = rf"\| *mine *\| *{label} *\|.*[−+±]\d\.\d+ … [−+±]\d\.\d+"
        assert re.search(line, comparison), f"mine is not compared with {label}"
