"""Every script says what it is for, with an example, before anything heavy is imported."""

import importlib
import json
import re
import subprocess
import sys

import pytest

from eval.files.places import ROOT
from scripts import dispatch
from scripts.__main__ import GROUPS
from scripts.__main__ import main as overview

COMMANDS = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__main__"): path
    for path in sorted((ROOT / "scripts").rglob("*.py"))
    if re.search("^main = command", path.read_text(encoding="utf-8"), re.MULTILINE)
}
HEAVY = ["torch", "pandas", "hydra", "omegaconf", "matplotlib", "scipy", "sklearn", "cv2", "numba", "PIL"]
# Imports every command as --help does, and prints those that brought a heavy library along.
ASK = """
import importlib, json, sys
slow = {}
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
    slow[name] = [heavy for heavy in json.loads(sys.argv[2]) if heavy in sys.modules]
print(json.dumps({name: heavy for name, heavy in slow.items() if heavy}))
"""


def module_of(name: str) -> str:
    return f"{name}.__main__" if COMMANDS[name].name == "__main__.py" else name


def test_help_waits_for_no_heavy_library():
    """A second for --help, of which Python takes a quarter: held by what it imports, which no busy machine changes."""
    names = json.dumps([module_of(name) for name in COMMANDS] + ["run"])
    done = subprocess.run(
        [sys.executable, "-c", ASK, names, json.dumps(HEAVY)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {}


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_it_is_for_with_an_example(name, capsys):
    main = importlib.import_module(module_of(name)).main
    with pytest.raises(SystemExit) as stopped:
        main(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    command = "python -m " + re.sub(r"^(scripts\.(?:maintain\.benchmark|claim|figure))\.", r"\1 ", name)
    usage, _, rest = text.partition("\n\n")
    assert f"usage: {command} " in re.sub(r"\s+", " ", usage) + " "
    assert command in rest
    assert rest.lstrip()[0].isupper()


def test_no_script_has_a_parser_of_its_own():
    alone = [
        str(path.relative_to(ROOT))
        for path in (ROOT / "scripts").rglob("*.py")
        if "ArgumentParser(" in path.read_text(encoding="utf-8")
    ]
    assert alone == ["scripts/command.py"]


@pytest.mark.parametrize("package", ["maintain.benchmark", "claim", "figure"])
def test_a_package_lists_its_commands(package, capsys):
    assert dispatch.run(package, ["--help"]) == 0
    text = capsys.readouterr().out
    named = set(re.findall(r"^  (\w+) ", text, re.MULTILINE))
    assert named == {name.rpartition(".")[2] for name in COMMANDS if name.startswith(f"scripts.{package}.")}
    assert dispatch.run(package, ["nothing"]) == 2
    assert "it has: " + ", ".join(sorted(named)) in capsys.readouterr().err


def test_every_command_is_listed_once_by_what_it_is_for(capsys):
    overview()
    text = capsys.readouterr().out
    assert sorted(name for names in GROUPS.values() for name in names) == sorted(dispatch.commands())
    for name, purpose in dispatch.commands().items():
        assert len(re.findall(rf"^  scripts\.{name} +{re.escape(purpose)}$", text, re.MULTILINE)) == 1
    assert all(f"scripts.maintain.{name}" in text for name in dispatch.commands("maintain"))
