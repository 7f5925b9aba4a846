import sys

from scripts.dispatch import run

sys.exit(run("benchmark", sys.argv[1:]))
