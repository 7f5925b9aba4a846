r"""Makes a claim of each finished run: a folder that others can check, small enough for a pull request.

What the run knows is not asked. What nobody else can know is: who you are, and what you did with which pictures.

  python -m scripts.claim make results/records/pascal.vgg16.mine.1a2b3c4d --out results/claims --author "A. Author" \
      --looked-at other "400 pictures of VOC2007 trainval" --tried 12 --url https://example.org/paper
  python -m scripts.claim make RUN --author "A. Author" --looked-at nothing --stated paper all hit 0.842
  python -m scripts.claim make RUN --author "A. Author" --looked-at same "all of it" --tried 40 --partial
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="folders under results/records")
    parser.add_argument("--out", type=Path, default=Path("results/claims"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--author", required=True, metavar="NAME", help="who says so")
    parser.add_argument("--paper", default="", metavar="TEXT", help="where it is published, in words")
    parser.add_argument("--url", default="", help="address of the paper or the project")
    parser.add_argument("--text", default="", help="anything else that readers should know")
    parser.add_argument(
        "--looked-at",
        required=True,
        nargs="+",
        metavar=("nothing|other|same", "WHICH"),
        help="the pictures that you looked at while choosing settings: none, others than those reported, or the same",
    )
    parser.add_argument("--keys", type=Path, metavar="FILE", help="the names of those pictures, one a line")
    parser.add_argument("--tried", type=int, default=1, metavar="N", help="how many settings you tried; default: 1")
    parser.add_argument("--code", default="", metavar="WHERE", help="https://HOST/NAME@COMMIT or NAME==VERSION")
    parser.add_argument(
        "--source", type=Path, action="append", default=[], metavar="DIR", help="where your modules lie"
    )
    parser.add_argument(
        "--stated",
        nargs=4,
        action="append",
        default=[],
        metavar=("PROTOCOL", "SUBSET", "MEASURE", "VALUE"),
        help="a number that the paper states",
    )
    parser.add_argument("--partial", action="store_true", help="pairs are missing, and the claim says so")


def act(arguments: argparse.Namespace) -> None:
    from eval.claims import making
    from eval.claims.statement import Statement

    looked_at, *which = arguments.looked_at
    keys = arguments.keys.read_text(encoding="utf-8").split() if arguments.keys else []
    names = ("protocol", "subset", "measure", "value")
    said = Statement(
        author=arguments.author,
        paper=arguments.paper,
        url=arguments.url,
        text=arguments.text,
        label="-",
        code="git" if "://" in arguments.code else "requirement" if arguments.code else "built in",
        code_value=arguments.code,
        looked_at=looked_at,
        looked_at_what=" ".join(which),
        keys=tuple(sorted(keys)),
        tried=arguments.tried,
        partial=arguments.partial,
        stated=tuple(dict(zip(names, [*each[:3], float(each[3])], strict=True)) for each in arguments.stated),
        scores=(),
    )
    for run in arguments.runs:
        place = making.make(run, arguments.out, said, [*arguments.source, Path()])
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        print(f"{place} ({size / 1e6:.2f} MB)")


main = command(Command("scripts.claim make", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
