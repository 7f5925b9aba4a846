"""What light commands take before they do anything: help, imports, a call of run.py with nothing left to do.

    python -m scripts.maintain.benchmark startup                      each as a process of its own, the fastest of three
    python -m scripts.maintain.benchmark startup --against CHECKOUT     the same by another checkout too, with ratios

One JSON line a case, then a table. `import torch` is the yardstick: a call of run.py whose method reads a network
cannot do without it, since the values of the network's weights are part of what names the run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from scripts.command import Command, command
from scripts.maintain.benchmark.outside import beside, markdown, measured

CASES = {
    "import torch": ["-c", "import torch"],
    "import gpnncam": ["-c", "import gpnncam"],
    "from gpnncam import GPNNCAM": ["-c", "from gpnncam import GPNNCAM"],
    "run.py --help": ["run.py", "--help"],
    "scripts.table --help": ["-m", "scripts.table", "--help"],
    "scripts.report --help": ["-m", "scripts.report", "--help"],
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repeat", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="another checkout of the suite")


def act(arguments: argparse.Namespace) -> None:
    lines = []
    with tempfile.TemporaryDirectory() as results:
        done = {
            "nothing left, center": ["run.py", "method=center", f"results={results}"],
            "nothing left, gradcam": ["run.py", "method=gradcam", "limit=8", f"results={results}"],
        }
        for case, call in (CASES | done).items():
            if case in done:
                measured(call)
            other = {"checkout": arguments.against, "repeat": arguments.repeat}
            if arguments.against and case in done:
                measured(call, checkout=arguments.against)
            before = None
            if arguments.against:
                try:
                    before = measured(call, **other)
                except RuntimeError as error:  # the other checkout may not know what is asked for
                    print(error, file=sys.stderr)
            lines.append(beside(case, measured(call, repeat=arguments.repeat), before))
            print(json.dumps(lines[-1]), flush=True)
    print(markdown(lines))


main = command(Command("scripts.maintain.benchmark startup", __doc__, add_arguments, act))
