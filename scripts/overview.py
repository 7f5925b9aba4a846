"""Methods by measures in one table: values, ranks, verdicts, and where the measures disagree (Kendall's tau).

python -m scripts.overview                                        results/records, pairs under protocol paper
python -m scripts.overview --records results/full_report/records --method gradcam gpnncam
python -m scripts.overview --measures hit deletion insertion --subset diff --top-k 5
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command
from scripts.selection import known


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--records", type=Path, default=Path("results/records"), metavar="DIR", help="default: %(default)s"
    )
    parser.add_argument(
        "--protocol", default="paper", metavar="NAME", help="a name in conf/protocol; default: %(default)s"
    )
    parser.add_argument("--measures", nargs="+", metavar="NAME", help="scores, as in scripts.table --measure")
    parser.add_argument("--data", "--dataset", nargs="+", dest="data", metavar="NAME", help="only these data sets")
    parser.add_argument("--method", nargs="+", metavar="NAME", help="only these methods, by name or label")
    parser.add_argument("--subset", choices=("all", "diff"), default="all", help="default: %(default)s")
    parser.add_argument("--top-k", type=int, metavar="K", help="only pairs whose class is in the network's top K")
    parser.add_argument(
        "--resamples", type=int, default=1000, metavar="B", help="sets of pictures drawn; default: %(default)s"
    )


def act(arguments: argparse.Namespace) -> None:
    from eval.game.protocol import named_protocol
    from eval.records.loading import load_runs, pool, readable, tell_apart
    from eval.tables.overview import MEASURES, overview_markdown, overviews
    from eval.tables.paired import chosen
    from eval.tables.scores import learn_scores

    runs, bad = load_runs(arguments.records)
    known("data set", arguments.data, {run.dataset for run in runs}, arguments.records)
    runs = pool(readable([run for run in runs if arguments.data is None or run.dataset in arguments.data], bad))
    for each in bad:
        print(f"left out: {each.folder.name}: {each.why}", file=sys.stderr)
    tell_apart(runs)
    if arguments.method:
        runs = [run for group in chosen(runs, arguments.method) for run in group]
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
