"""Makes, checks and shows claims, numbers that others can verify: `python -m scripts.claim NAME ...`."""

import sys

from scripts.dispatch import run

if __name__ == "__main__":
    sys.exit(run("claim", sys.argv[1:]))
