"""Measurements of speed and quality: `python -m scripts.benchmark NAME ...`."""

import sys

from scripts.dispatch import run

sys.exit(run("benchmark", sys.argv[1:]))
