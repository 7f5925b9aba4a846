"""Is method A better than method B? On the same pairs, with intervals and tests, corrected for many comparisons.

Every two of the named methods are compared on each data set, network and subset that both have rows of:

  difference   average of A minus average of B, and its 95 % interval (bootstrap over pictures, the same for both)
  A / B only   pairs that one of them hits and the other misses
  McNemar      exact p of that split if both were equally good; takes the pairs of a picture as independent
  flip         p if the two answers to a picture could be exchanged; takes nothing but pictures as independent
  Holm         the p before it, corrected for all comparisons printed

  python -m scripts.compare gpnncam gradcam
  python -m scripts.compare gpnncam gradcam layercam --dataset pascal --model vgg16 --protocol authors
  python -m scripts.compare --against "gpnncam [n=20]"         every other one with that one alone
  python -m scripts.compare "gpnncam [n=5]" "gpnncam [n=20]" --subset diff --measure energy
"""

import argparse
import sys

import pandas as pd

from eval.formats import csv_text, grid, signed
from eval.layout import named
from eval.paired import compared
from scripts.table import add_selection, selection


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m scripts.compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("methods", nargs="*", metavar="METHOD", help="two or more; none: all that have rows")
    parser.add_argument("--against", metavar="METHOD", help="compare each with this one only")
    parser.add_argument("--format", choices=("markdown", "csv"), default="markdown", help="default: %(default)s")
    add_selection(parser)
    arguments = parser.parse_args(argv)
    try:
        if len(arguments.methods) == 1 and not arguments.against:
            raise ValueError(f"what is {arguments.methods[0]} to be compared with? Name two methods or more, or none")
        runs, changes, rule, subsets = selection(arguments)
        names, against = arguments.methods or None, arguments.against
        frame = compared(runs, names, changes, rule, subsets, arguments.resamples, against)
        if frame.empty:
            raise ValueError("no two of these methods have rows of one data set, network and protocol")
        if arguments.strict and frame["left_out"].any():
            raise ValueError("some comparisons do not stand on all pairs of their data set (without --strict: which)")
        print(csv_text(frame) if arguments.format == "csv" else markdown(frame), end="")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


def markdown(frame: pd.DataFrame) -> str:
    """A table a protocol; intervals that exclude 0 are bold."""
    blocks = []
    for (protocol, rule), part in frame.groupby(["protocol", "rule"], sort=False):
        head = ["data", "network", "subset", "A", "B", "n", "A", "B", "difference", "95 % interval"]
        lines = [[*head, "A only", "B only", "McNemar", "Holm", "flip", "Holm"]]
        for line in part.itertuples():
            digits = 1 if line.measure == "distance" else 4
            bounds = f"{signed(line.low, digits)} … {signed(line.high, digits)}"
            lines.append(
                [
                    *map(named, (line.dataset, line.model, line.subset)),
                    line.label_a,
                    line.label_b,
                    f"{line.n:,}" + (f" (of {line.n + line.left_out:,})" if line.left_out else ""),
                    f"{line.accuracy_a:.{digits}f}",
                    f"{line.accuracy_b:.{digits}f}",
                    signed(line.difference, digits),
                    f"**{bounds}**" if line.low > 0 or line.high < 0 else bounds,
                    *("–" if pd.isna(count) else f"{count:,}" for count in (line.only_a, line.only_b)),
                    *map(p_value, (line.mcnemar, line.mcnemar_holm, line.flip, line.flip_holm)),
                ]
            )
        blocks += [f"### Protocol {protocol}: {rule}", "", grid(lines), ""]
    blocks += [f"Holm: corrected for {len(frame)} comparisons."]
    return "\n".join(blocks) + "\n"


def p_value(p: float) -> str:
    """ "0.031", "4e-07", "–" """
    if pd.isna(p):
        return "–"
    if p < 1e-99:
        return "<1e-99"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


if __name__ == "__main__":
    main()
