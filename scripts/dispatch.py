"""Commands with sub-commands: `python -m scripts.PACKAGE NAME ...` runs `main(argv)` of scripts/PACKAGE/NAME.py."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path


def commands(package: str = "") -> dict[str, str]:
    """Name and purpose (the docstring's first line) of each command in scripts/PACKAGE, sub-packages among them.

    A command is a module that defines `main`, made by `scripts.command`, or a package with a `__main__`.
    """
    folder = Path(__file__).parent.joinpath(*package.split("."))
    found = {}
    for path in sorted((*folder.glob("[!_]*.py"), *folder.glob("*/__main__.py"))):
        text = path.read_text(encoding="utf-8")
        if path.name == "__main__.py" or re.search("^main = command", text, re.MULTILINE):
            name = path.parent.name if path.name == "__main__.py" else path.stem
            found[name] = (ast.get_docstring(ast.parse(text)) or "").partition("\n")[0]
    return found


def run(package: str, argv: Sequence[str]) -> int:
    """Run the sub-command argv[0] of `package`, a package under scripts; the exit status."""
    known = commands(package)
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: python -m scripts.{package} NAME [options]\n")
        print(*(f"  {name:<14} {purpose}" for name, purpose in known.items()), sep="\n")
        print(f"\nFor example: python -m scripts.{package} {next(iter(known))} --help")
        return 0 if argv else 2
    if argv[0] not in known:
        print(f"error: scripts.{package} has no command {argv[0]!r}; it has: {', '.join(known)}", file=sys.stderr)
        return 2
    return importlib.import_module(f"scripts.{package}.{argv[0]}").main(argv[1:])
