"""Time and memory of tables, comparisons, the page and compaction over a million rows, and of a table of 10,000 runs.

    python -m scripts.maintain.benchmark tables --make                records under results/cache/tables, then all cases
    python -m scripts.maintain.benchmark tables --against CHECKOUT      the same by another checkout too, with ratios
    python -m scripts.maintain.benchmark tables --make --rows 20000 --many 50 --folder DIR

Three folders are made, by seed: `large` (24 runs that share the rows), `one` (one run with all of them), `many` (runs
of ten rows). Every case is a process of its own, its results go nowhere; compaction works on a copy. One JSON line a
case, then a table. Processor seconds are those of all threads, so a busy machine changes them less than the clock.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from eval.files.places import cache_folder
from scripts.command import Command, command
from scripts.maintain.benchmark.outside import beside, markdown, measured
from scripts.maintain.benchmark.process import alone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--make", action="store_true", help="write the records first")
    parser.add_argument("--folder", type=Path, default=cache_folder("tables"), help="default: %(default)s")
    parser.add_argument("--rows", type=int, default=1_000_000, help="default: %(default)s")
    parser.add_argument("--many", type=int, default=10_000, help="runs of ten rows; default: %(default)s")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout of the suite")
    parser.add_argument("--case", nargs="+", metavar="WORD", help="only the cases whose names hold a word of these")


def act(arguments: argparse.Namespace) -> None:
    folder = arguments.folder.resolve()
    if arguments.make:
        # In a process of its own: a child's peak of memory begins at what its parent has resident.
        alone(make, folder, arguments.rows, arguments.many)
    if not folder.is_dir():
        raise ValueError(f"{folder} holds no records yet: --make writes them")
    lines = []
    for case in cases(folder):
        if arguments.case and not any(word in case for word in arguments.case):
            continue
        before = run(folder, case, arguments.against) if arguments.against else None
        lines.append(beside(case, run(folder, case, None), before))
        print(json.dumps(lines[-1]), flush=True)
    print(markdown(lines))


def make(folder: Path, rows: int, many: int) -> None:
    """Write the three folders anew."""
    from scripts.maintain.benchmark.records import make as records

    shutil.rmtree(folder, ignore_errors=True)
    records(folder / "large", 24, rows)
    records(folder / "one", 1, rows)
    records(folder / "many", many, 10 * many, settings=-(-many // 24))


def cases(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """{case: (which records, arguments of python)}."""

    def of(which: str, script: str, *more: str) -> tuple[str, list[str]]:
        return which, ["-m", f"scripts.{script}", "--records", str(folder / which / "records"), *more]

    plain = ("--resamples", "0")
    return {
        "table, no intervals": of("large", "table", *plain),
        "table, intervals": of("large", "table"),
        "table, intervals, energy": of("large", "table", "--measure", "energy"),
        "table, intervals, mean over classes": of("large", "table", "--average", "class"),
        "two methods compared": of("large", "compare", "gpnncam", "gradcam"),
        "all methods compared": of("large", "compare"),
        "page": of("large", "report", "--gallery", "0", "--output", str(folder / "page.html")),
        "table of many runs": of("many", "table", *plain),
        "compaction, and the table": of("large", "table", "--compact", *plain),
        "table of compacted rows": of("packed", "table", *plain),
        "compaction of one run": of("one", "table", "--compact", *plain),
    }


def run(folder: Path, case: str, checkout: Path | None) -> dict[str, float]:
    """One case, on a copy where it would change the records."""
    which, arguments = cases(folder)[case]
    where = {} if checkout is None else {"checkout": checkout}
    packed = folder / "packed"
    if which == "packed" and not packed.exists():
        shutil.copytree(folder / "large", packed)
        measured(["-m", "scripts.table", "--records", str(packed / "records"), "--compact", "--resamples", "0"])
    if "--compact" not in arguments:
        return measured(arguments, **where)
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(folder / which, copy)
    try:
        return measured([each.replace(str(folder / which), str(copy)) for each in arguments], **where)
    finally:
        shutil.rmtree(copy)


main = command(Command("scripts.maintain.benchmark tables", __doc__, add_arguments, act))
