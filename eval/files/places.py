"""Where the parts of this checkout lie, and other facts that many ask for."""

import os
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"


def cache_folder(name: str) -> Path:
    """Where the suite itself puts a data set: results/cache/NAME of this checkout, which git ignores."""
    return ROOT / "results" / "cache" / name


def near(name: str, known: Iterable[str], count: int = 3) -> str:
    """The known names that are spelled most like `name`, for messages: "a, b"; where none is near, all of few, the
    first of many."""
    import difflib

    known = sorted(known)
    names = difflib.get_close_matches(name, known, count, 0.5) or known
    return ", ".join(names) if len(names) <= 30 else ", ".join(names[:count]) + ", ..."


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
