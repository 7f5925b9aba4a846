"""Shows what claims say, without checking them: author, method, numbers, settings, and verdicts of others.

python -m scripts.claim show results/claims/*
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from scripts.command import Command, command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("claims", nargs="+", type=Path, metavar="DIR")


def act(arguments: argparse.Namespace) -> None:
    from eval.claims.claim import load
    from eval.claims.statement import CODE, LOOKED_AT
    from eval.claims.verdicts import verdicts
    from eval.files.markdown import markdown_table

    for place in arguments.claims:
        claim = load(place)
        said, info = claim.said, claim.run.info
        print(f"{said.label} on {info['dataset']}, {info['model'] or 'no network'}; claim {claim.name}")
        print(f"  by {said.author}" + "".join(f"; {text}" for text in (said.paper, said.url, said.text) if text))
        print(f"  code: {CODE[said.code]} {said.code_value}".rstrip())
        which = f" ({said.looked_at_what})" if said.looked_at_what else ""
        print(f"  looked at while choosing: {LOOKED_AT[said.looked_at]}{which}; settings tried: {said.tried}")
        head = ["measure", "protocol", "pairs", "n", "value", "95 % interval"]
        lines = [
            [
                each["measure"],
                each["protocol"],
                each["subset"],
                f"{each['n']:,}",
                f"{each['value']:.4f}",
                interval(each),
            ]
            for each in said.scores
        ]
        print(markdown_table([head, *lines], texts=(0, 1, 2)))
        for each in verdicts(claim):
            print(f"  {each['by']}, {each['date']}: {each['verdict']}")


def interval(score: dict) -> str:
    """ "0.61 … 0.65" """
    return "–" if score["low"] is None else f"{score['low']:.4f} … {score['high']:.4f}"


main = command(Command("scripts.claim show", __doc__, add_arguments, act))

if __name__ == "__main__":
    sys.exit(main())
