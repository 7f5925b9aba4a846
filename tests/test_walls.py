"""Who may import whom, and what may travel in the wheel."""

import ast
import tomllib
from pathlib import Path

import pytest

from scripts.maintain import imports as imports_script

ROOT = Path(__file__).parent.parent
PACKAGES = ("gpnncam", "baselines", "eval", "scripts", "run", "tests")
ALLOWED = {
    "gpnncam": {"gpnncam"},
    "baselines": {"baselines"},
    "eval": {"eval"},
    "scripts": {"scripts", "eval", "baselines", "gpnncam"},
    "run.py": {"eval", "baselines", "gpnncam", "scripts"},
}
ABOUT_NETWORKS = {
    f"gpnncam.{name}" for name in ("batch_size", "inputs", "layers", "layouts", "reading", "requirements")
}
ABOUT_OUTPUTS = {"gpnncam.outputs"}
ABOUT_PASSES = {"gpnncam.batch_size", "gpnncam.features"}
# Rooms of eval/, lowest first: a file imports from its own room and from those before it.
ROOMS = ("files", "game", "networks", "records", "datasets", "measures", "tables", "running", "claims", "sweeps")
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
    modules = files(room)
    assert modules
    crossed = [
        f"{path.relative_to(ROOT)} imports {name}"
        for path in modules
        for top, name in imports(path)
        if top in PACKAGES and top not in ALLOWED[room] and not _about_networks(path, name)
    ]
    assert not crossed


def _about_networks(path, name):
    """How a network is read and passed is one thing for the wheel, for the benchmark and for its methods."""
    known = {
        ROOT / "eval" / "networks": ABOUT_NETWORKS | ABOUT_OUTPUTS,
        ROOT / "baselines": ABOUT_OUTPUTS | ABOUT_PASSES,
    }
    return name in known.get(path.parent, ())


def test_rooms_of_eval_import_downwards_alone():
    assert {path.name for path in (ROOT / "eval").iterdir() if path.is_dir()} - {"__pycache__"} == set(ROOMS)
    assert [path.name for path in (ROOT / "eval").glob("*.py")] == ["__init__.py"]
    upwards = [
        f"{path.relative_to(ROOT)} imports {name}"
        for place, room in enumerate(ROOMS)
        for path in files(f"eval/{room}")
        for _, name in imports(path)
        if name.startswith("eval.") and name.split(".")[1] not in ROOMS[: place + 1]
    ]
    assert upwards == []


def test_the_drawing_of_rooms_is_that_of_the_code(capsys):
    assert imports_script.main([]) == 0
    drawn = capsys.readouterr().out
    assert f"```mermaid\n{drawn}```" in (ROOT / "eval" / "README.md").read_text(encoding="utf-8")
    assert imports_script.main(["--files"]) == 0, "no file imports itself on any way"


def test_circles_are_seen_and_long_ways_stand_for_short_ones(capsys, monkeypatch):
    graph = {"a.x": {"a.y", "a.z"}, "a.y": {"a.z"}, "a.z": set(), "a.w": set()}
    assert imports_script.mermaid(graph).splitlines() == ["graph TD", "  w", "  x --> y", "  y --> z"]
    monkeypatch.setattr(imports_script, "of_files", lambda: graph | {"a.z": {"a.x"}})
    assert imports_script.main(["--files"]) == 1
    assert "imports make a circle: a." in capsys.readouterr().err


def test_hydra_is_known_where_configs_are_made_alone():
    places = [str(path.relative_to(ROOT)) for room in ALLOWED for path in files(room) if "hydra" in tops(path)]
    assert places == ["eval/running/config.py"]
    names = [name for _, name in imports(ROOT / places[0]) if name.startswith("hydra.")]
    assert names
    assert not [name for name in names if any(part.startswith("_") for part in name.split("."))]


def tops(path):
    return {top for top, _ in imports(path)}


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
    assert project["tool"]["setuptools"]["package-data"] == {"gpnncam": ["py.typed"]}, (
        "its types are for its users, too"
    )
    assert (ROOT / "gpnncam/py.typed").is_file()


def test_files_stay_small_enough_to_hold_in_mind():
    rooms = [room for room in ALLOWED if room != "run.py"]
    long = {
        str(p.relative_to(ROOT)): count
        for room in rooms
        for p in files(room)
        if (count := len(p.read_text("utf-8").splitlines())) > 300
    }
    assert long == {}
