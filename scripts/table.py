"""All rows as the paper's table: methods down; data sets, networks and subsets across; a table for each protocol.

Nothing is rerun: tolerance, average, subset, top-k and measure are applied to recorded rows. Without --protocol a run
is listed under the protocols that it was started under; with it, under that one, if its network saw the same input.

  python -m scripts.table
  python -m scripts.table --format csv --records results/records --protocol torchray
  python -m scripts.table --protocol paper --tolerance 30 --subset diff
  python -m scripts.table --measure energy --format latex
  python -m scripts.table --compact                 move all rows into Parquet files first, a run at a time
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command
from scripts.selection import add_selection, selected_frame


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--format", choices=("markdown", "csv", "latex", "html"), default="markdown", help="default: %(default)s"
    )
    add_selection(parser)
    parser.add_argument("--digits", type=int, default=4, help="decimals of a share, not in CSV; default: %(default)s")
    parser.add_argument("--compact", action="store_true", help="first move each run's rows into rows.parquet")


def act(arguments: argparse.Namespace) -> None:
    if arguments.compact:
        compact_all(arguments.records)
    frame = selected_frame(arguments)
    from eval.tables import formats
    from eval.tables.html_table import html_tables

    if arguments.format == "csv":
        print(formats.csv_text(frame), end="")
    elif arguments.format == "markdown":
        print(formats.markdown(frame, arguments.digits))
    elif arguments.format == "latex":
        print(formats.latex(frame, arguments.digits))
    else:
        print(html_tables(frame, arguments.digits))


def compact_all(records: Path) -> None:
    """Compact every run that can be read; one that somebody writes is named and stays as it is."""
    from eval.files.locks import Held
    from eval.records.loading import load_runs
    from eval.records.rows import compact

    for run in load_runs(records)[0]:
        try:
            count = compact(run.folder)
            print(f"{run.folder.name}: {count:,} rows in rows.parquet", file=sys.stderr)
        except (Held, ValueError) as error:
            print(f"{run.folder.name} stays as it is: {error}", file=sys.stderr)


main = command(Command("scripts.table", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
