"""The arguments that say which rows count and how, alike for `scripts.table`, `compare` and `report`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # --help needs none of them
    import pandas as pd

    from eval.records.loading import Run
    from eval.tables.rules import Changes, Rule

RESAMPLES = 10_000


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    add_runs(parser)
    parser.add_argument(
        "--protocol", metavar="NAME", help="a name in conf/protocol; default: those that runs were started under"
    )
    parser.add_argument("--tolerance", type=float, metavar="PX", help="a hit is less than PX original pixels away")
    parser.add_argument("--average", choices=("pair", "class"), help="mean over pairs, or over classes of their means")
    parser.add_argument("--subset", choices=("all", "diff"), help="default: both")
    parser.add_argument(
        "--measure",
        default="hit",
        metavar="NAME",
        help="hit (the pointing game; default), distance, energy, cover5, cover10, cover20, and those of conf/measure",
    )
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, metavar="B", help="sets of pictures drawn; default: %(default)s"
    )
    parser.add_argument("--strict", action="store_true", help="refuse cells that do not stand on all pairs")


def add_measures(parser: argparse.ArgumentParser) -> None:
    """The same for commands about many measures under one protocol."""
    add_runs(parser)
    parser.add_argument(
        "--protocol", default="paper", metavar="NAME", help="a name in conf/protocol; default: %(default)s"
    )
    parser.add_argument("--measures", nargs="+", metavar="NAME", help="scores, as in scripts.table --measure")
    parser.add_argument("--subset", choices=("all", "diff"), default="all", help="default: %(default)s")


def add_runs(parser: argparse.ArgumentParser) -> None:
    """The arguments of `selected_runs`, and --top-k."""
    parser.add_argument(
        "--records", type=Path, default=Path("results/records"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument("--data", "--dataset", nargs="+", dest="data", metavar="NAME", help="only these data sets")
    parser.add_argument("--model", nargs="+", metavar="NAME", help="only these networks")
    parser.add_argument("--method", nargs="+", metavar="NAME", help="only these methods, by name or label")
    parser.add_argument("--exclude", nargs="+", metavar="NAME", help="without these methods, by name or label")
    parser.add_argument("--by-seed", action="store_true", help="a line for each seed; else those of one method as one")
    parser.add_argument("--top-k", type=int, metavar="K", help="only pairs whose class is in the network's top K")


def selection(
    arguments: argparse.Namespace,
) -> tuple[list[Run], Changes, Rule | None, tuple[str, ...]]:
    """(runs, changes, rule, subsets) of the arguments, for `table_cells` and `paired_table`."""
    from eval.game.protocol import named_protocol
    from eval.tables.rules import Changes, fits

    runs = _observed(selected_runs(arguments), arguments.measure)
    changes = Changes(arguments.tolerance, arguments.average, arguments.measure, arguments.top_k)
    rule = changes.applied(named_protocol(arguments.protocol)) if arguments.protocol else None
    for run in runs if rule else ():
        if not fits(run, rule.protocol):
            print(f"left out: {run.folder.name}: its network saw another input than that of {rule.label}; "
                  "without --protocol each run stands under its own", file=sys.stderr)  # fmt: skip
    return list(dict.fromkeys(runs)), changes, rule, (arguments.subset,) if arguments.subset else ("all", "diff")


def selected_runs(arguments: argparse.Namespace) -> list[Run]:
    """The runs of the arguments. Prints the name of each that cannot be read to standard error, and goes on with the
    others. ValueError where none is left."""
    from eval.records.loading import load_runs, pool, readable, tell_apart
    from eval.tables.paired import chosen

    runs, bad = load_runs(arguments.records)
    known("data set", arguments.data, {run.dataset for run in runs}, arguments.records)
    known("network", arguments.model, {run.model for run in runs if run.model}, arguments.records)
    runs = [
        run
        for run in runs
        if (arguments.data is None or run.dataset in arguments.data)
        and (arguments.model is None or run.model is None or run.model in arguments.model)
    ]
    runs = readable(runs, bad)
    for each in bad:
        print(f"left out: {each.folder.name}: {each.why}", file=sys.stderr)
    runs = runs if arguments.by_seed else pool(runs)
    tell_apart(runs)
    if arguments.method:
        runs = [run for group in chosen(runs, arguments.method) for run in group]
    if arguments.exclude:
        without = {run for group in chosen(runs, arguments.exclude) for run in group}
        runs = [run for run in runs if run not in without]
    if not runs:
        raise ValueError(f"{arguments.records} holds no run of this selection")
    return runs


def known(what: str, asked: list[str] | None, there: set[str], records: Path) -> None:
    """ValueError for a name that no run has, with the near ones."""
    from eval.files.places import near

    for name in asked or ():
        if name not in there:
            raise ValueError(f"{records} holds no run of the {what} {name!r}; near names: {near(name, there)}")


def _observed(runs: list[Run], score: str) -> list[Run]:
    """Those of the runs whose rows or observations hold the score; the others are named on standard error."""
    from eval.tables.scores import SCORES, learn_scores

    learn_scores(score, runs)
    if (measure := SCORES.measure_of(score)) is None:
        return runs
    observed = [run for run in runs if any(each.name == measure for each in run.observations)]
    for run in runs:
        if run not in observed:
            print(f"left out: {run.folder.name}: nothing was observed of {measure}", file=sys.stderr)
    if not observed:
        raise ValueError(
            f"no run has observations of {measure}: `python run.py measure={measure} method=...` adds them"
        )
    return observed


def selected_frame(arguments: argparse.Namespace) -> pd.DataFrame:
    """The table frame of the arguments. ValueError if nothing is left, or incomplete under --strict."""
    from eval.tables.cells import table_cells
    from eval.tables.table import refuse_incomplete, table_frame

    cells = table_cells(*selection(arguments), arguments.resamples)
    if not cells:
        where = f" whose input is that of protocol {arguments.protocol}" if arguments.protocol else ""
        raise ValueError(f"{arguments.records} holds no rows of a run{where} for this selection")
    frame = table_frame(cells, arguments.resamples)
    if arguments.strict:
        refuse_incomplete(frame)
    return frame
