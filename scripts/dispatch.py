"""Commands with sub-commands: `python -m scripts.PACKAGE NAME ...` runs `main(argv)` of scripts/PACKAGE/NAME.py."""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path


def run(package: str, argv: list[str]) -> int:
    """Run the sub-command argv[0] of `package`, a package under scripts; the exit status.

    A sub-command is a module with `main(argv: list[str]) -> int | None`; its docstring's first line is its help.
    """
    folder = Path(__file__).parent / package
    names = sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))
    if not argv or argv[0] in ("-h", "--help"):
        print(f"usage: python -m scripts.{package} NAME [options]; NAME --help for a command's own options\n")
        for name in names:
            text = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))) or ""
            print(f"  {name:<14} {text.partition(chr(10))[0]}")
        return 0 if argv else 2
    if argv[0] not in names:
        print(f"scripts.{package} has no command {argv[0]!r}; it has: {', '.join(names)}.", file=sys.stderr)
        return 2
    try:
        return importlib.import_module(f"scripts.{package}.{argv[0]}").main(argv[1:]) or 0
    except (ValueError, FileNotFoundError, RuntimeError) as error:
        print(f"{argv[0]}: {error}", file=sys.stderr)
        return 1
