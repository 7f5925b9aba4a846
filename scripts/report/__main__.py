"""One self-contained HTML page of all results: tables, curves, costs, classes, pictures and where all of it is from.

The page needs no network and no other file. It shows the table with intervals and published numbers, every measure that
the rows have, differences from a reference, accuracy over tolerance, cost against accuracy, accuracy per class, a
gallery to filter ("A hits, B misses"), and each run's settings, versions and hardware. Heat maps are those that
save_maps=true kept; others are computed again.

  python -m scripts.report                                   results/report.html from results/records
  python -m scripts.report --records DIR --output page.html --protocol paper
  python -m scripts.report --gallery 0                       without pictures: needs neither data nor networks
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command
from scripts.selection import add_selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument(
        "--output", type=Path, default=Path("results/report.html"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("--title", metavar="TEXT", help="default: says what is measured")
    parser.add_argument(
        "--against", metavar="METHOD", help="the reference of the differences; default: gradcam, where it has rows"
    )
    parser.add_argument(
        "--gallery", type=int, default=24, metavar="N", help="pairs per network and data set; 0: none; default: 24"
    )
    parser.add_argument("--no-recompute", action="store_true", help="show only heat maps that were kept")


def act(arguments: argparse.Namespace) -> None:
    from scripts.report.page import page

    text = page(arguments)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(text, encoding="utf-8")
    print(f"{arguments.output} ({len(text.encode()) / 1e6:.1f} MB)")


main = command(Command("scripts.report", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
