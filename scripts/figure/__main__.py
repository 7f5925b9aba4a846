"""Draws figures of methods, variations, perturbation curves and features: `python -m scripts.figure NAME ...`."""

import sys

from scripts.dispatch import run

sys.exit(run("figure", sys.argv[1:]))
