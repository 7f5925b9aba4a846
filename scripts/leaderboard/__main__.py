"""A static site of claims: who is ahead by how much, on what, at which cost, and how far anybody checked it.

No server is needed, and no JavaScript to read it; with it, tables are sorted and filtered. Numbers of different
protocols, inputs, networks or pictures never share a table. Every number is computed from the claims' rows; a claim
that is not whole is left out and named.

  python -m scripts.leaderboard results/claims/* --out site
  python -m scripts.leaderboard results/claims/* --out site --reference gradcam --title "Pointing game, VOC2007"
  python -m scripts.leaderboard results/claims/* --out site --data dataset.root=DIR     and maps of a few pictures
"""

from __future__ import annotations

import argparse
import functools
import sys
from pathlib import Path

from scripts.command import Command, command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claims", nargs="+", type=Path, metavar="CLAIM")
    parser.add_argument("--out", required=True, type=Path, metavar="SITE")
    parser.add_argument("--title", default="Image attribution, claimed and checked")
    parser.add_argument(
        "--reference", default="gradcam", metavar="METHOD", help="differences are to it; default: gradcam"
    )
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME=VALUE",
        help="as of scripts.claim verify: a few pictures of each claim are evaluated anew and shown with their maps",
    )  # fmt: skip
    parser.add_argument("--trust-code", action="store_true", help="of claims whose code is none of this suite, too")


def act(arguments: argparse.Namespace) -> int:
    from scripts.leaderboard.site import build, drawn

    maps = functools.partial(drawn, overrides=tuple(arguments.data), trust=arguments.trust_code)
    pages, left_out = build(arguments.claims, arguments.out, arguments.title, arguments.reference, maps)
    for line in left_out:
        print(f"left out: {line}", file=sys.stderr)
    print(
        f"{arguments.out / 'index.html'} ({(arguments.out / 'index.html').stat().st_size / 1e6:.2f} MB), {pages} claims"
    )
    return 1 if left_out else 0


main = command(Command("scripts.leaderboard", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
