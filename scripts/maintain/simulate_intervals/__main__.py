"""How often intervals hold the truth, and how often they contradict the exchange test: the tables of the choice.

python -m scripts.maintain.simulate_intervals --trials 200 > results/tables/intervals.md
python -m scripts.maintain.simulate_intervals --trials 100 --pictures 8 30          a quick look

Each line is a design and a number of pictures, each column a procedure. A value is the share of trials whose 95 %
interval holds the truth (0.95 is right; where the truth is 0, false positives are the rest to 1), and in brackets the
share in which the interval excludes 0 and the exchange test at the same level does not reject, or the reverse.
"""

from __future__ import annotations

import argparse
import sys

from scripts.command import Command, command

NAME = "scripts.maintain.simulate_intervals"
PICTURES = (1, 2, 3, 4, 6, 8, 10, 30, 100, 1000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--trials", type=int, default=1000, help="a line; default: %(default)s")
    parser.add_argument("--resamples", type=int, default=500, help="an interval; default: %(default)s")
    parser.add_argument("--pictures", type=int, nargs="+", default=PICTURES, help="default: %(default)s")


def act(given: argparse.Namespace) -> None:
    from eval.files.markdown import markdown_table
    from eval.tables.statistics import RULE
    from scripts.maintain.simulate_intervals.trials import PAIRED, SINGLE, line

    settings = f"--trials {given.trials} --resamples {given.resamples} --pictures {' '.join(map(str, given.pictures))}"
    words = " ".join((__doc__ or "").split("\n\n")[-1].split())
    print(
        f"# Intervals and tests by simulation\n\n`python -m scripts.maintain.simulate_intervals {settings}`\n\n{words}"
    )
    print(f"\nThe choice, in every table, comparison, page and claim: {RULE}")
    for title, designs, procedures in (("Differences of two methods", *PAIRED), ("One method's average", *SINGLE)):
        lines = [["design", "pictures", *procedures]]
        for name, (truth, draw) in designs.items():
            for count in given.pictures:
                print(f"{title}: {name}, {count}", file=sys.stderr)
                found = line(name, truth, draw, count, procedures.values(), given.trials, given.resamples)
                lines.append([name, f"{count:,}", *found])
        print(f"\n## {title}\n\n{markdown_table(lines)}")


main = command(Command(NAME, __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
