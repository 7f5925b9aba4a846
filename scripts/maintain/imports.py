"""Draws who imports whom as a Mermaid graph, and fails where imports make a circle.

    python -m scripts.maintain.imports              the rooms of eval/, as in eval/README.md
    python -m scripts.maintain.imports --folders    the folders at the top
    python -m scripts.maintain.imports --files      every file

An arrow goes from whoever imports to what is imported, imports inside functions included. Of two ways the longer one
alone is drawn: where a imports b and b imports c, the arrow from a to c says nothing new. Exit status 1 for a circle.
"""

from __future__ import annotations

import argparse
import ast
import graphlib
import sys
from collections.abc import Mapping
from pathlib import Path

from eval.files.places import ROOT
from scripts.command import Command, command

FOLDERS = ("gpnncam", "baselines", "eval", "scripts", "run")
Graph = dict[str, set[str]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--folders", action="store_true", help="folders at the top instead of the rooms of eval/")
    kind.add_argument("--files", action="store_true", help="every file")


def act(arguments: argparse.Namespace) -> None:
    graph = of_files()
    if not arguments.files:
        graph = joined(graph, 1) if arguments.folders else joined(within(graph, "eval"), 2)
    try:
        print(mermaid(graph))
    except graphlib.CycleError as error:
        raise ValueError(f"imports make a circle: {' <- '.join(error.args[1])}") from error


def of_files() -> Graph:
    """{module: modules of this repository that it imports}, tests left out."""
    modules = {}
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")) or [ROOT / f"{folder}.py"]:
            modules[".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")] = path
    return {name: imported(path, modules) - {name} for name, path in modules.items()}


def imported(path: Path, modules: Mapping[str, Path]) -> set[str]:
    """The modules among `modules` that a file imports, wherever in the file; not those for type checkers alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    names: set[str] = set()
    for node in (each for each in ast.walk(tree) if id(each) not in typing):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            parts = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= parts & modules.keys() or {node.module}
    return names & modules.keys()


def within(graph: Graph, folder: str) -> Graph:
    """The part of the graph whose modules lie in a folder."""
    inside = {name for name in graph if name.startswith(f"{folder}.")}
    return {name: graph[name] & inside for name in inside}


def joined(graph: Graph, parts: int) -> Graph:
    """The graph of packages: modules with the same first `parts` parts of their name are one."""
    packages: Graph = {}
    for name, others in graph.items():
        package = ".".join(name.split(".")[:parts])
        seen = {".".join(other.split(".")[:parts]) for other in others} - {package}
        packages.setdefault(package, set()).update(seen)
    return packages


def reduced(graph: Graph) -> Graph:
    """Without the arrows that a longer way stands for. CycleError where there is a circle."""
    below: Graph = {}
    for name in graphlib.TopologicalSorter(graph).static_order():
        below[name] = graph[name].union(*(below[other] for other in graph[name]))
    return {name: {o for o in others if not any(o in below[p] for p in others)} for name, others in graph.items()}


def mermaid(graph: Graph) -> str:
    """A graph in Mermaid's text; names of one package without its name. CycleError where there is a circle."""
    arrows = reduced(graph)
    shared = len({name.partition(".")[0] for name in graph}) == 1
    short = {name: name.partition(".")[2] if shared else name for name in graph}
    lines = [f"  {short[name]} --> {short[other]}" for name in sorted(arrows) for other in sorted(arrows[name])]
    alone = graph.keys() - {name for name in arrows if arrows[name]}.union(*arrows.values())
    return "\n".join(["graph TD", *(f"  {short[name]}" for name in sorted(alone)), *lines])


main = command(Command("scripts.maintain.imports", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
