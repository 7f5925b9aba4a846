"""Commands measured from outside: processes of their own, in this checkout and in another one beside it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from eval.files.markdown import markdown_table
from eval.files.places import ROOT


def measured(arguments: Sequence[str], checkout: Path = ROOT, repeat: int = 1) -> dict[str, float]:
    """The fastest of `repeat` calls of python with these arguments: seconds by the clock, cpu (user and system, child
    processes included), memory_mb (highest resident). RuntimeError with the end of its errors if it fails."""
    best: dict[str, float] = {}
    for _ in range(repeat):
        start = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=checkout, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert process.stderr is not None
        errors = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise RuntimeError(f"python {' '.join(arguments)} in {checkout} failed: {errors.strip()[-300:]}")
        taken = {"seconds": time.perf_counter() - start, "cpu": used.ru_utime + used.ru_stime,
                 "memory_mb": used.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6}  # fmt: skip
        if not best or taken["cpu"] < best["cpu"]:
            best = taken
    return best


def beside(case: str, taken: dict[str, float], before: dict[str, float] | None) -> dict[str, object]:
    """A case as a JSON line has it; before: what the other checkout took."""
    line: dict[str, object] = {"case": case, **{name: round(value, 2) for name, value in taken.items()}}
    if before:
        line |= {f"{name} before": round(value, 2) for name, value in before.items()}
        line |= {f"{name} ratio": round(before[name] / taken[name], 2) for name in ("cpu", "memory_mb")}
    return line


def markdown(lines: Iterable[dict]) -> str:
    """The cases as a table."""
    rows = [["", "CPU s", "clock s", "peak MB", "CPU, before / after", "memory, before / after"]]
    for line in lines:
        ratios = (
            f"{line[f'{name} before']:.1f} → {line[name]:.1f} ({line[f'{name} ratio']:.1f} x)"
            if f"{name} before" in line
            else "–"
            for name in ("cpu", "memory_mb")
        )
        rows.append([line["case"], f"{line['cpu']:.2f}", f"{line['seconds']:.2f}", f"{line['memory_mb']:.0f}", *ratios])
    return markdown_table(rows)
