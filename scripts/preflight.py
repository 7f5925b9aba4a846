"""What a sweep needs, before any of it runs: every missing data set, weights file or setting at once.

    python -m scripts.preflight experiment=paper_table roots.pascal=DIR roots.imagenet=DIR

builds each data set and network of the sweep once (downloads included, where the settings allow them) and says how many
pairs are left to evaluate. `python run.py` does the same before it starts the first job.
"""

import argparse
import sys

from scripts.command import Command, command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("overrides", nargs="+", metavar="SETTING=VALUE", help="as for run.py, an experiment or a sweep")


def act(arguments: argparse.Namespace) -> int:
    from eval.running.config import load_jobs
    from eval.sweeps.preflight import preflight

    _, jobs = load_jobs(arguments.overrides)
    planned, problems = preflight([(name, cfg) for name, _, cfg in jobs])
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    for job in planned:
        print(f"left out  {job.name}: {job.refused}" if job.refused else f"{job.left:8d} left  {job.name}")
    return 1 if problems else 0


main = command(Command("scripts.preflight", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
