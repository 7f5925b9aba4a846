"""A comparison in words: which is better, by how much, on how many pictures, and whether that is shown."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from eval.files.words import several
from eval.tables.formats import decimal, decimals, signed
from eval.tables.layout import named
from eval.tables.scores import SCORES

MOST = 12  # sentences; of more comparisons the number that is shown


def sentences(frame: pd.DataFrame) -> list[str]:
    """Of the lines of `paired_table`: a sentence each, or one about all where they are more than MOST."""
    if len(frame) <= MOST:
        return [sentence(line) for line in frame.itertuples()]
    best = ", ".join(f"{who} in {count}" for who, count in _winners(frame.itertuples()).items())
    return [f"{int(frame['shown'].sum())} of {len(frame)} differences are shown{f': better are {best}' * bool(best)}."]


def _winners(lines: Iterable[Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for line in lines:
        if line.shown and SCORES[line.measure].ranked:
            who = _sides(line)[0]
            found[who] = found.get(who, 0) + 1
    return found


def _sides(line: Any) -> tuple[str, str, float, float]:
    """(the better method, the other, and their values)."""
    sides = [(line.label_a, line.accuracy_a), (line.label_b, line.accuracy_b)]
    if (line.difference < 0) != SCORES[line.measure].less_is_better:
        sides.reverse()
    return sides[0][0], sides[1][0], sides[0][1], sides[1][1]


def sentence(line: Any) -> str:
    """Of one line of `paired_table`, a named tuple."""
    score, digits = SCORES[line.measure], decimals(line.measure, 4)
    where = " ".join(filter(None, map(named, (line.dataset, line.model, line.subset))))
    where = f"{where}: " if where else ""
    pairs = several(line.n, "pair") + ("" if line.complete else f" ({line.left_out:,} or more are missing)")
    on = f"on {pairs} of {several(line.pictures, 'picture')}"
    reach = max(abs(line.low), abs(line.high))
    if not line.differing:
        within = f"a difference within ±{decimal(reach, digits)} is left open" if reach == reach else "that bounds none"
        return f"{where}{line.label_a} and {line.label_b} have equal {line.measure} {on}; {within}."
    better, other, high, low = _sides(line)
    direction = f"{line.measure}, {'less' if score.less_is_better else 'more'} is better"
    amount = (
        f"{decimal(abs(line.difference), digits)} ({decimal(high, digits)} against {decimal(low, digits)}; {direction})"
    )
    if not score.ranked:
        better, other, amount = line.label_a, line.label_b, f"{signed(line.difference, digits)} ({line.measure})"
    chance = f"p = {p_value(line.exchange_holm)}"
    if line.shown:
        verb = "is better than" if score.ranked else "differs from"
        bounds = f"95 % interval {signed(line.low, digits)} … {signed(line.high, digits)} for A minus B, "
        return f"{where}{better} {verb} {other} by {amount} {on}; shown ({bounds}{chance})."
    text = f"{where}no difference is shown between {better} and {other}: {amount} {on}, {chance}."
    if pd.notna(line.resolves):
        seen = f"a difference of about {decimal(line.resolves, digits)} or more would be shown"
        text += f" On {several(line.pictures, 'picture')} {seen}"
        text += f"; this one takes about {_about(line.needed)} pictures." if pd.notna(line.needed) else "."
    return text


def _about(pictures: float) -> str:
    """Two digits of a number."""
    return f"{int(float(f'{pictures:.2g}')):,}"


def p_value(p: float) -> str:
    """ "0.031", "4e-07", "–" """
    if pd.isna(p):
        return "–"
    if p < 1e-99:
        return "<1e-99"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"
