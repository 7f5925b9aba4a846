"""Which measure can be believed? Five questions about every measure at once, from the rows of finished runs.

  1  does it put maps above random ones, the picture's centre, the map of another class, of another picture
  2  do two halves of the pictures order the methods alike, and how many pictures does that take
  3  do networks agree about the order of methods, do data sets
  4  which measures say the same, over methods and within pairs
  5  how large a difference of two methods do these pictures show

  python -m scripts.reliability                                     results/records, pairs under protocol paper
  python -m scripts.reliability --page results/reliability.html     the same as a page: a matrix and curves
  python -m scripts.reliability --measures hit energy pixel_ap deletion road --subset diff --format csv

Controls are runs of method=random, center, random_map, center_map, other_class and other_picture; every other method
counts as a real one. What a measure observed is read; no network runs.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command
from scripts.selection import add_measures, selected_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_measures(parser)
    parser.add_argument(
        "--resamples",
        type=int,
        default=1000,
        metavar="B",
        help="of averages, for intervals of rank correlations; default: %(default)s",
    )
    parser.add_argument("--splits", type=int, default=200, metavar="S", help="into halves; default: %(default)s")
    parser.add_argument("--format", choices=("markdown", "csv"), default="markdown", help="default: %(default)s")
    parser.add_argument("--page", type=Path, metavar="FILE", help="write an HTML page too")


def act(arguments: argparse.Namespace) -> None:
    from eval.game.protocol import named_protocol
    from eval.tables.formats import csv_text
    from eval.tables.reliability import boards, known_measures, reliability
    from eval.tables.reliable import reliability_markdown
    from eval.tables.scores import learn_scores

    if arguments.splits < 2 or arguments.resamples < 2:
        raise ValueError("--splits and --resamples must be at least 2: what varies is to be seen")
    runs = selected_runs(arguments)
    names = arguments.measures or known_measures(runs)
    for name in names:
        learn_scores(name, runs)
    made = boards(
        runs, named_protocol(arguments.protocol), names, arguments.subset, arguments.top_k, arguments.resamples
    )
    if not made:
        raise ValueError(
            f"{arguments.records} holds no data set and network with rows of three methods that are no controls, of "
            f"these measures and under protocol {arguments.protocol}: an order needs three"
        )
    frame = reliability(made, arguments.splits)
    print(csv_text(frame) if arguments.format == "csv" else reliability_markdown(frame, made), end="")
    if arguments.format == "markdown":
        print()
    if arguments.page:
        from scripts.reliability.page import page

        arguments.page.parent.mkdir(parents=True, exist_ok=True)
        arguments.page.write_text(page(frame, made), encoding="utf-8")
        print(arguments.page, file=sys.stderr)


main = command(Command("scripts.reliability", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
