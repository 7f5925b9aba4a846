"""The examples in the docstrings of the entry points run, and the notebook does."""

import doctest
import importlib
import inspect
import json
import re

import pytest

from eval.files.places import CONF, ROOT

EXAMPLES = {
    "gpnncam.cam": "GPNNCAM",
    "gpnncam.multiscale": "MultiscaleCAM",
    "gpnncam.classifier": "wrap",
    "gpnncam.explanation": "explain",
    "gpnncam.gpnn": "variations",
    "gpnncam.inpaint": "fill",
    "scripts.explain": "explain",
    "eval.running.score": "score",
    "eval.tables.frame": "frame_of compare",
}


@pytest.mark.parametrize("module", EXAMPLES)
def test_examples_run(module):
    entries = importlib.import_module(module)
    tests = {test.name: test for test in doctest.DocTestFinder().find(entries)}
    for name in EXAMPLES[module].split():
        test = tests[f"{module}.{name}"]
        assert test.examples, f"{module}.{name} has no example"
        said: list[str] = []
        doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test, out=said.append)
        assert not said, "".join(said)


def classes() -> dict[str, type]:
    """Every class that a choice of a method builds, by its name."""
    texts = [path.read_text(encoding="utf-8") for path in sorted((CONF / "method").glob("*.yaml"))]
    found = [re.search(r"_target_: ((?:baselines|gpnncam)\.\w+)\.(\w+)", text) for text in texts]
    return {match[2]: getattr(importlib.import_module(match[1]), match[2]) for match in found if match}


def described(docstring: str) -> list[str]:
    """The names under Args: of a docstring in Google style."""
    section = re.search(r"^ *Args:\n((?: {8,}.*\n)+)", docstring + "\n", re.MULTILINE)
    return re.findall(r"^ {8}\*{0,2}(\w+): \S", section[1], re.MULTILINE) if section else []


@pytest.mark.parametrize("name", classes())
def test_every_method_says_what_it_takes_and_returns(name):
    method = classes()[name]
    own = method.__dict__.get("__init__")
    taken = [each for each in inspect.signature(own).parameters if each not in ("self", "classifier")] if own else []
    stated = [each for each in described(method.__doc__) if each != "classifier"]
    assert stated == taken, f"{name}: Args names {stated}, its constructor {taken}"
    answer = method.__call__.__doc__
    assert "(K,h,w)" in answer or re.search(r"-> .*\(K,", answer), f"{name}.__call__ says no shape"


def test_the_notebook_runs(monkeypatch):
    """Cell by cell, as a script: what a cell ends in is drawn as a notebook would."""
    monkeypatch.chdir(ROOT / "docs")
    cells = json.loads((ROOT / "docs/notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert len(code) == 4
    assert not any(cell.get("outputs") for cell in cells), "committed without outputs"
    found: dict = {}
    for source in code:
        exec(source, found)
    assert found["answer"]._repr_png_().startswith(b"\x89PNG")
    assert found["made"].pixels.shape == (3, 3, 72, 96)
    assert set(found["rows"]["method"]) == {"gradcam", "center"}
