"""`python -m scripts.mutants`."""

import argparse
import json
import sys

from eval.files.places import ROOT
from scripts.command import Command, command
from scripts.mutants import __doc__ as description


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=60, help="changes in all; default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--file", nargs="+", metavar="FILE", help="only these files, e.g. eval/game/region.py")
    parser.add_argument("--least", type=float, default=0.0, help="exit with 1 if a smaller share is killed")


def act(given: argparse.Namespace) -> int:
    from scripts.mutants.trial import TESTS, sample, tried

    files = given.file or list(TESTS)
    if unknown := [name for name in files if name not in TESTS]:
        raise ValueError(f"no tests are known to concern {unknown[0]}; known are {', '.join(TESTS)}")
    chosen = sample(ROOT, files, given.count, given.seed)
    survivors: list[str] = []
    for name, change, killed in tried(ROOT, chosen):
        if not killed:
            survivors.append(f"{name}:{change.line}: {change.what}")
            print(f"survives: {survivors[-1]}", flush=True)
    share = 1 - len(survivors) / len(chosen)
    print(json.dumps({"mutants": len(chosen), "killed": len(chosen) - len(survivors), "share": round(share, 3)}))
    return 1 if share < given.least else 0


main = command(Command("scripts.mutants", description, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
