"""What a command may import before it has anything to do with it: each list is all that it may."""

import gc
import json
import subprocess
import sys
from pathlib import Path

import pytest

from eval.running.config import load
from eval.running.job import evaluate_job
from scripts.dispatch import commands

ROOT = Path(__file__).parent.parent
HEAVY = {
    "PIL", "captum", "cv2", "hydra", "jinja2", "matplotlib", "numba", "numpy", "omegaconf", "pandas", "pyarrow",
    "pytorch_grad_cam", "scipy", "skimage", "sklearn", "statsmodels", "submitit", "timm", "torch", "torchvision",
    "yaml", "zennit",
}  # fmt: skip
TOLD = """
import atexit, json, runpy, sys
atexit.register(lambda: print("\\n" + json.dumps(sorted(sys.modules)), file=sys.stderr))
"""
TABLE = {"numpy", "pandas", "pyarrow", "yaml"}


def imported(code: str, *arguments: str) -> set[str]:
    """The modules that a process has imported when it ends."""
    process = subprocess.run(
        [sys.executable, "-c", TOLD + code, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return set(json.loads(process.stderr.strip().splitlines()[-1]))


def heavy(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules} & HEAVY


def script(name: str) -> str:
    return f"runpy.run_module({name!r}, run_name='__main__', alter_sys=True)"


def test_help_of_every_command_imports_nothing_heavy():
    scripts = [*commands(), *(f"maintain.{name}" for name in commands("maintain"))]
    assert {"table", "compare", "report", "maintain.benchmark", "runs"} <= set(scripts)
    # In one process: what any of them imports is seen.
    each = "".join(
        f"\ntry: {script(f'scripts.{name}')}\nexcept SystemExit as ended: assert not ended.code" for name in scripts
    )
    own = "\ntry: runpy.run_path('run.py', run_name='__main__')\nexcept SystemExit as ended: assert not ended.code"
    assert heavy(imported(each + own, "--help")) == set()


def test_the_method_is_imported_without_anything_heavy_and_used_without_the_suite():
    assert heavy(imported("import gpnncam")) == set()
    assert heavy(imported("from gpnncam import GPNNCAM")) <= {"torch", "numpy", "numba"}


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [
        (["scripts.table", "--resamples", "0", "--format", "html", "--compact"], TABLE),
        (["scripts.table"], TABLE | {"scipy", "statsmodels"}),
        (["scripts.compare"], TABLE | {"scipy", "statsmodels"}),
        (["scripts.report", "--gallery", "0", "--resamples", "0"], TABLE | {"jinja2", "scipy", "statsmodels"}),
        (["scripts.runs"], TABLE),
    ],
)
def test_commands_that_read_rows_import_what_they_use_alone(tmp_path, arguments, allowed):
    from tests.synthetic_runs import rows, write_run

    for method, accuracy in (("gradcam", 0.5), ("gpnncam", 0.6)):
        write_run(tmp_path, method, rows(70, accuracy))
    name, *more = arguments
    more += ["--output", str(tmp_path / "page.html")] if name == "scripts.report" else []
    assert heavy(imported(script(name), "--records", str(tmp_path / "records"), *more)) <= allowed


def test_a_call_with_nothing_left_to_do_imports_no_library_of_methods(tmp_path):
    settings = ["method=gradcam", "limit=1", "dataset.build.count=2", f"results={tmp_path}"]
    outcome = evaluate_job(load(settings))
    picture = tmp_path / "pictures" / f"{outcome.folders[0].name}.png"
    picture.parent.mkdir()
    picture.touch()  # it is drawn once
    again = imported("runpy.run_path('run.py', run_name='__main__')", *settings)
    assert not heavy(again) & {"captum", "numba", "pytorch_grad_cam", "statsmodels", "torchvision", "zennit", "skimage"}
    # The built-in pictures are drawn with matplotlib's font; nothing is plotted.
    assert not {"scipy.stats", "matplotlib.pyplot", "matplotlib.figure"} & again


def test_imports_leave_the_search_for_garbage_as_it_was():
    from scripts.command import imports

    def failing():
        with imports():
            assert not gc.isenabled()
            raise ImportError

    gc.unfreeze()
    with pytest.raises(ImportError):
        failing()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 1000, "what was made is not searched again"
    gc.unfreeze()
