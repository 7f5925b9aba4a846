"""Is method A better than method B? On the same pairs, with intervals and tests, corrected for many comparisons.

Every two of the named methods are compared on each data set, network and subset that both have rows of, and each
comparison ends in a sentence: which is better, by how much, whether that is shown, and if not, how many pictures would:

  A − B        average of A minus average of B, and all differences that the test does not reject (95 % interval)
  p (Holm)     of the exchange test: if the two answers to a picture could be exchanged; corrected for all comparisons
  --all        also both values, the plain p, how many pictures differ, pairs that one alone hits, and McNemar's exact
               test of those, which takes the pairs of a picture as independent; --format csv always has them

  python -m scripts.compare gpnncam gradcam
  python -m scripts.compare gpnncam gradcam layercam --data pascal --model vgg16 --protocol authors
  python -m scripts.compare --against "gpnncam [n=20]"         every other one with that one alone
  python -m scripts.compare "gpnncam [n=5]" "gpnncam [n=20]" --subset diff --measure energy
"""

from __future__ import annotations

import argparse
import sys

from scripts.command import Command, command
from scripts.selection import add_selection, selection


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="two or more; none: all that have rows")
    parser.add_argument("--against", metavar="METHOD", help="compare each with this one only")
    parser.add_argument("--format", choices=("markdown", "csv"), default="markdown", help="default: %(default)s")
    parser.add_argument("--all", action="store_true", help="all columns")
    add_selection(parser)


def act(arguments: argparse.Namespace) -> None:
    from eval.tables.comparison import comparison_markdown
    from eval.tables.formats import csv_text
    from eval.tables.paired import chosen, paired_table
    from eval.tables.statistics import out_of_reach

    if len(arguments.methods) == 1 and not arguments.against:
        raise ValueError(f"what is {arguments.methods[0]} to be compared with? Name two methods or more, or none")
    runs, changes, rule, subsets = selection(arguments)
    names, against = arguments.methods or None, arguments.against
    frame = paired_table(runs, names, changes, rule, subsets, arguments.resamples, against)
    if frame.empty:
        raise ValueError("no two of these methods have rows of one data set, network and protocol")
    compared = {*frame["method_a"], *frame["method_b"]}
    for name, group in zip(arguments.methods, chosen(runs, arguments.methods), strict=True):
        if not compared & {run.method for run in group}:
            print(f"{name} has no rows of a pair that another one has: no line compares it", file=sys.stderr)
    if arguments.strict and not frame["complete"].all():
        raise ValueError("some comparisons do not stand on all pairs of their data set (without --strict: which)")
    if why := out_of_reach(len(frame), arguments.resamples):
        print(why, file=sys.stderr)
    print(csv_text(frame) if arguments.format == "csv" else comparison_markdown(frame, arguments.all), end="")


main = command(Command("scripts.compare", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
