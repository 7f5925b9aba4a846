"""What does a setting change? Each method under each input against one reference, by network and over all networks.

Differences on the same pairs, with 95 % intervals (the exchange test inverted: a picture's answers of all networks are
exchanged together), and what each costs a picture in passes of 224 x 224 pixels (a pass counts by its pixels):

  python -m scripts.effects --records results/ablation_input/records --against gradcam --reference paper
  python -m scripts.effects --against gpnncam --reference "paper [input.side=224]" --top-k 5

--top-k counts the pairs whose class is in the top k of the reference's network.
"""

from __future__ import annotations

import argparse
import sys

from scripts.command import Command, command
from scripts.selection import add_selection, selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--against", metavar="METHOD", required=True, help="the reference's method")
    parser.add_argument(
        "--reference", metavar="PROTOCOL", help="the label of its rules, where it has rows under several"
    )
    parser.add_argument("--format", choices=("markdown", "csv"), default="markdown", help="default: %(default)s")
    add_selection(parser)


def act(arguments: argparse.Namespace) -> None:
    from eval.tables.effects import effects, effects_markdown
    from eval.tables.formats import csv_text
    from eval.tables.statistics import out_of_reach

    if arguments.protocol:
        raise ValueError("--protocol would leave one input; the reference's is --reference")
    runs, changes, _, subsets = selection(arguments)
    subset = subsets[0]
    frame = effects(runs, changes, arguments.against, arguments.reference, subset, arguments.resamples)
    if frame.empty:
        raise ValueError("nothing has rows of the same data set and network as the reference")
    if arguments.strict and not frame["complete"].all():
        raise ValueError("some differences do not stand on all pairs of their data set (without --strict: which)")
    if why := out_of_reach(len(frame), arguments.resamples):
        print(why, file=sys.stderr)
    print(csv_text(frame) if arguments.format == "csv" else effects_markdown(frame), end="")


main = command(Command("scripts.effects", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
