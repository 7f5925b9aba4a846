"""Checks claims: whole, recomputed from the rows, about the data that they name, and rerun; exit status 1 if one fails.

Nothing of a claim is executed. Without --rerun no network is needed, and no data: pairs are compared with those that
the project knows. --data says where data and weights lie here; code that came with a claim needs --trust-code.

  python -m scripts.claim verify results/claims/*
  python -m scripts.claim verify DIR --rerun 50 --data dataset.root=VOCdevkit --verdict my-name
  python -m scripts.claim verify DIR --all --trust-code
  python -m scripts.claim verify DIR --json
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from scripts.command import Command, command

if TYPE_CHECKING:
    from eval.claims.claim import Claim
    from eval.claims.report import Report

SIGNS = {"holds": "ok", "fails": "FAILS", "note": "note", "mark": "marked"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claims", nargs="+", type=Path, metavar="DIR")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--rerun", type=int, metavar="K", help="evaluate K pictures anew, drawn by a hash of the rows")
    again.add_argument("--all", action="store_true", help="evaluate all pictures anew")
    parser.add_argument(
        "--data", action="append", default=[], metavar="NAME=VALUE", help="dataset.root=DIR, model.checkpoint=FILE, ..."
    )
    parser.add_argument("--trust-code", action="store_true", help="code that is none of this suite may run")
    parser.add_argument("--tolerance", type=float, metavar="PX", help="points this near are the same; default: 1")
    parser.add_argument("--verdict", metavar="NAME", help="write verdicts/NAME.json beside each claim")
    parser.add_argument("--json", action="store_true", help="for robots")


def act(arguments: argparse.Namespace) -> int:
    from eval.claims.checking import twice
    from eval.claims.report import write_verdict

    say = (lambda text: print(text, file=sys.stderr)) if arguments.json else print
    if arguments.rerun is not None and arguments.rerun < 1:
        raise ValueError("--rerun takes a number of pictures, at least 1")
    reports, read = [], []
    for place in arguments.claims:
        report, claim = checked(place, arguments, say)
        reports.append(report)
        read += [claim] if claim else []
        if not arguments.json:
            print(f"{place.resolve().name}: {report.verdict}")
            for line in report.lines:
                print(f"  {line.step:<11}{SIGNS[line.what]:<7}{line.text}")
        if arguments.verdict and claim:
            say(f"verdict: {write_verdict(report, arguments.verdict, where(arguments))}")
    doubles = twice(read)
    for what, text in doubles if not arguments.json else ():
        print(f"{SIGNS[what]:<7}{text}")
    holds = all(report.holds for report in reports) and all(what != "fails" for what, _ in doubles)
    if arguments.json:
        together = [{"what": what, "text": text} for what, text in doubles]
        print(
            json.dumps({"holds": holds, "claims": [each.content for each in reports], "together": together}, indent=1)
        )
    return 0 if holds else 1


def checked(place: Path, arguments: argparse.Namespace, say) -> tuple[Report, Claim | None]:  # noqa: ANN001
    """The report on a claim, and the claim where it could be read."""
    from eval.claims import checking

    if not (arguments.rerun or arguments.all or arguments.data):
        return checking.check(place)
    from eval.claims import rerun

    count = None if arguments.all else arguments.rerun
    report, claim = checking.check(place, lambda claim: rerun.there(claim, arguments.data))
    wanted = bool(arguments.rerun or arguments.all)
    if claim and wanted and report.passed("whole"):
        wish = rerun.Wish(count, tuple(arguments.data), arguments.trust_code, arguments.tolerance or rerun.TOLERANCE)
        rerun.rerun(claim, report, wish, say)
    return report, claim


def where(arguments: argparse.Namespace) -> dict:
    """Where and when the claim was checked."""
    import platform
    from datetime import UTC, datetime

    from eval.records.provenance import checkout

    code = checkout()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": code["commit"],
        "changed": code["dirty"],
        "machine": f"{platform.system()} {platform.machine()}",
    }


main = command(Command("scripts.claim verify", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
