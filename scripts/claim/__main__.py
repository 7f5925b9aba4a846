"""Claims: `python -m scripts.claim NAME --help`."""

import sys

from scripts.dispatch import run

if __name__ == "__main__":
    sys.exit(run("claim", sys.argv[1:]))
