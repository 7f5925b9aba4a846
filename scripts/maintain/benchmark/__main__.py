"""Measurements of speed and quality: `python -m scripts.maintain.benchmark NAME ...`."""

import sys

from scripts.dispatch import run

sys.exit(run("maintain.benchmark", sys.argv[1:]))
