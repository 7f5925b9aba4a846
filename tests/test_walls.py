"""Who may import whom, and what may travel in the wheel."""

import ast
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gpnncam", "baselines", "eval", "scripts", "run", "tests")
ALLOWED = {
    "gpnncam": {"gpnncam"},
    "baselines": {"baselines"},
    "eval": {"eval"},
    "scripts": {"scripts", "eval", "baselines", "gpnncam", "run"},
    "run.py": {"eval", "baselines", "gpnncam", "scripts", "run"},  # itself: hydra names its classes run.X
}
GPNNCAM_NEEDS = {"torch", "numpy", "numba", "llvmlite"}  # llvmlite is numba's own


def imports(path):
    """(top-level name, whole name) of everything a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.name.split(".")[0], alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield node.module.split(".")[0], node.module


def files(room):
    return [ROOT / room] if room.endswith(".py") else sorted((ROOT / room).rglob("*.py"))


@pytest.mark.parametrize("room", ALLOWED)
def test_rooms_import_only_what_they_may(room):
    found = files(room)
    assert found
    crossed = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in found
        for top, name in imports(path)
        if top in PACKAGES and top not in ALLOWED[room]
    ]
    assert not crossed


def test_only_run_py_imports_hydra():
    others = [path for room in ALLOWED if room != "run.py" for path in files(room)]
    assert [str(path) for path in others for top, _ in imports(path) if top == "hydra"] == []
    assert "hydra" in {top for top, _ in imports(ROOT / "run.py")}


def test_the_method_needs_torch_and_its_kernel_library_alone():
    import sys

    foreign = {
        (str(path.relative_to(ROOT)), top)
        for path in files("gpnncam")
        for top, _ in imports(path)
        if top not in GPNNCAM_NEEDS | {"gpnncam"} | set(sys.stdlib_module_names)
    }
    assert foreign == set()


def test_the_wheel_holds_the_method_alone():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["packages"] == ["gpnncam"]


def test_files_stay_small_enough_to_hold_in_mind():
    rooms = [room for room in ALLOWED if room != "run.py"]
    long = {
        str(p.relative_to(ROOT)): count
        for room in rooms
        for p in files(room)
        if (count := len(p.read_text("utf-8").splitlines())) > 300
    }
    assert long == {}
