"""All rows as the paper's table: methods down; data sets, networks and subsets across; a table for each protocol.

Nothing is rerun: tolerance, average, subset, top-k and measure are applied to recorded rows. Without --protocol a run
stands under the protocols that it was asked under; with it, under that one, if its network saw the same input.

  python -m scripts.table
  python -m scripts.table --format csv --records results/records --protocol torchray
  python -m scripts.table --protocol paper --tolerance 30 --subset diff
  python -m scripts.table --measure energy --format latex
"""

import argparse
import sys
from pathlib import Path

from eval import formats
from eval.cells import SUBSETS, table_cells
from eval.html_table import html_tables
from eval.loaded import load_runs, named_protocol
from eval.rules import MEASURES, Changes
from eval.statistics import RESAMPLES
from eval.table import refuse_incomplete, table_frame


def add_selection(parser: argparse.ArgumentParser) -> None:
    """The arguments that say which rows count and how; `scripts.compare` has the same."""
    parser.add_argument(
        "--records", type=Path, default=Path("results/records"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--protocol", metavar="NAME", help="a name in conf/protocol; default: those that runs were asked under"
    )
    parser.add_argument("--tolerance", type=float, metavar="PX", help="a hit is less than PX original pixels away")
    parser.add_argument("--average", choices=("pair", "class"), help="mean over pairs, or over classes of their means")
    parser.add_argument("--subset", choices=SUBSETS, help="default: both")
    parser.add_argument("--top-k", type=int, metavar="K", help="only pairs whose class is in the network's top K")
    parser.add_argument(
        "--measure",
        choices=MEASURES,
        default="hit",
        help="; ".join(f"{k}: {v[0]}" for k, v in MEASURES.items()).replace("%", "%%"),
    )
    parser.add_argument("--dataset", metavar="NAME", help="only this data set")
    parser.add_argument("--model", metavar="NAME", help="only this network")
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, metavar="B", help="bootstrap over pictures; default: %(default)s"
    )
    parser.add_argument("--strict", action="store_true", help="refuse cells that do not stand on all pairs")


def selection(arguments: argparse.Namespace):
    """(runs, changes, rule, subsets) that the arguments ask for, for `table_cells` and `compared`."""
    runs = [
        run
        for run in load_runs(arguments.records)
        if (arguments.dataset in (None, run.dataset))
        and (arguments.model is None or run.model in (None, arguments.model))
    ]
    if not runs:
        raise ValueError(f"{arguments.records} holds no run of this data set and network")
    changes = Changes(arguments.tolerance, arguments.average, arguments.measure, arguments.top_k)
    rule = changes.applied(named_protocol(arguments.protocol)) if arguments.protocol else None
    return runs, changes, rule, (arguments.subset,) if arguments.subset else SUBSETS


def selected_frame(arguments: argparse.Namespace):
    """The table frame that the arguments ask for. ValueError if nothing is left, or incomplete under --strict."""
    cells = table_cells(*selection(arguments), arguments.resamples)
    if not cells:
        asked = f" whose input is that of protocol {arguments.protocol}" if arguments.protocol else ""
        raise ValueError(f"{arguments.records} holds no rows of a run{asked} for this selection")
    frame = table_frame(cells)
    if arguments.strict:
        refuse_incomplete(frame)
    return frame


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--format", choices=("markdown", "csv", "latex", "html"), default="markdown", help="default: %(default)s"
    )
    add_selection(parser)
    parser.add_argument("--digits", type=int, default=4, help="decimals of a share, not in CSV; default: %(default)s")
    arguments = parser.parse_args(argv)
    try:
        frame = selected_frame(arguments)
        if arguments.format == "csv":
            print(formats.csv_text(frame), end="")
        elif arguments.format == "markdown":
            print(formats.markdown(frame, arguments.digits))
        elif arguments.format == "latex":
            print(formats.latex(frame, arguments.digits))
        else:
            print(html_tables(frame, arguments.digits))
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
