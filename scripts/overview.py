"""Methods by measures in one table: values, ranks, verdicts, and where the measures disagree (Kendall's tau).

python -m scripts.overview                                        results/records, pairs under protocol paper
python -m scripts.overview --records results/full_report/records --method gradcam gpnncam
python -m scripts.overview --measures hit deletion insertion --subset diff --top-k 5
"""

from __future__ import annotations

import argparse
import sys

from scripts.command import Command, command
from scripts.selection import add_measures, selected_runs


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_measures(parser)
    parser.add_argument(
        "--resamples", type=int, default=1000, metavar="B", help="sets of pictures drawn; default: %(default)s"
    )


def act(arguments: argparse.Namespace) -> None:
    from eval.game.protocol import named_protocol
    from eval.tables.overview import MEASURES, overview_markdown, overviews
    from eval.tables.scores import learn_scores

    runs = selected_runs(arguments)
    names = arguments.measures or MEASURES
    for name in names:
        learn_scores(name, runs)
    summaries = overviews(runs, named_protocol(arguments.protocol), arguments.subset, names, arguments.resamples,
                      arguments.top_k)  # fmt: skip
    if not summaries:
        raise ValueError(f"{arguments.records} holds no rows of these measures under protocol {arguments.protocol}")
    print("\n\n".join(map(overview_markdown, summaries)))


main = command(Command("scripts.overview", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
