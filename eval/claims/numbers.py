"""The numbers of a claim, computed from its rows and its run.json alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from eval.claims.claim import of_this_suite
from eval.records.loading import Run
from eval.tables.cells import Cell, table_cells
from eval.tables.rules import Changes

DIGITS = 6


def measures_of(run: Run) -> list[str]:
    """The scores that a claim states: the pointing game's, and those of measures of this suite that were observed."""
    known = of_this_suite()
    owners = {each.name for each in run.observations if each.part.get("build", {}).get("_target_") in known}
    if not owners:
        return ["hit"]  # nothing else is imported
    from eval.tables.scores import SCORES

    SCORES.learn_suite()
    return ["hit", *(name for name, owner in SCORES.measures.items() if owner in owners)]


def cells_of(run: Run) -> list[Cell]:
    """The cells of these scores under every protocol that the run was started under, whose input it saw."""
    return [cell for name in measures_of(run) for cell in table_cells([run], Changes(measure=name))]


def stated(cells: Sequence[Cell]) -> tuple[dict, ...]:
    """The cells as claim.yaml states them."""
    lines = [
        {
            "protocol": cell.rule.protocol.label,
            "subset": cell.subset,
            "measure": cell.rule.measure,
            "setting": cell.rule.setting,
            "n": cell.n,
            "pairs": cell.pairs,
            "value": round(cell.accuracy, DIGITS),
            "low": _finite(cell.low),
            "high": _finite(cell.high),
        }
        for cell in cells
        if math.isfinite(cell.accuracy)
    ]
    return tuple(sorted(lines, key=_place))


def _finite(value: float) -> float | None:
    return round(value, DIGITS) if math.isfinite(value) else None


def _place(line: dict) -> tuple:
    return line["measure"], line["protocol"], line["setting"], line["subset"]


def disagreements(said: Sequence[dict], recomputed: Sequence[dict]) -> list[str]:
    """What claim.yaml says and the rows do not, in a sentence each."""
    wrong = []
    ours, theirs = ({_place(line): line for line in lines} for lines in (recomputed, said))
    if len(theirs) != len(said):
        wrong.append("claim.yaml states a score twice")
    for place in sorted(ours.keys() | theirs.keys()):
        what = " ".join(filter(None, (place[0], "under", place[1], place[2], "on", place[3])))
        if place not in theirs:
            wrong.append(f"claim.yaml does not state {what}, which the rows give")
        elif place not in ours:
            wrong.append(f"claim.yaml states {what}, which these rows do not give: they were made under other rules")
        else:
            for name, value in ours[place].items():
                other = theirs[place][name]
                if other != value and not (isinstance(value, float) and _near(value, other)):
                    wrong.append(f"{what}: claim.yaml says {name} {other}, the rows give {value}")
    return wrong


def _near(value: float, other: Any) -> bool:
    # The last of six digits may be rounded either way.
    return isinstance(other, int | float) and abs(value - other) <= 1.5 * 10**-DIGITS
