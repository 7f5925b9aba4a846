"""`python -m scripts.maintain.chaos`."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from scripts.command import Command, command
from scripts.maintain.chaos import __doc__ as description
from scripts.maintain.chaos import chaos


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--pictures", type=int, default=200, help="of the built-in data, per run")
    parser.add_argument("--seconds", type=float, default=0.1, help="that the waiting runs take for a picture")
    parser.add_argument("--pause", type=float, default=0.3, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=0)


def act(given: argparse.Namespace) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = chaos(Path(folder), given.kills, given.pictures, given.seconds, given.pause, given.seed, True)
    print(json.dumps(report | {"identical": True, "seconds": round(time.monotonic() - started)}))


main = command(Command("scripts.maintain.chaos", description, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
