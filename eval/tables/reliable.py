"""The answers of `eval.tables.reliability` in short: a line a measure, and how far measures agree, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from eval.files.markdown import markdown_table
from eval.files.words import several
from eval.tables.orders import STANDS
from eval.tables.reliability import CONTROLS, Board

HEADS = {
    "above": "better than {}",
    "halves": "halves agree",
    "pictures": f"pictures until {STANDS}",
    "networks": "networks agree",
    "data sets": "data sets agree",
    "resolution": "spread / detectable",
}


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """A line a measure, means over data sets and networks, in the order of the frame.

    Columns: "above NAME" of each control that has runs; halves: of the largest samples; pictures; extrapolated: whether
    that lies beyond the data somewhere; networks; data sets; resolution: how many detectable differences fit between
    the best and the worst method; columns: how many data sets and networks.
    """
    lines = {}
    for measure, part in frame.groupby("measure", sort=False):
        by = part.groupby("question")
        answers = {question: by.get_group(question) for question in by.groups}
        line: dict = {}
        for control in CONTROLS:
            above = _of(answers, "above")
            line[f"above {control}"] = above.loc[above["other"] == control, "value"].mean()
        halves = _of(answers, "halves")
        line["halves"] = halves.groupby(["dataset", "model"])["value"].last().mean()
        line["pictures"] = _of(answers, "pictures")["value"].mean()
        line["extrapolated"] = (_of(answers, "pictures")["other"] == "extrapolated").any()
        line |= {question: _of(answers, question)["value"].mean() for question in ("networks", "data sets")}
        spread, detectable = (
            _of(answers, name).set_index(["dataset", "model"])["value"] for name in ("spread", "detectable")
        )
        line["resolution"] = (spread / detectable.where(detectable > 0)).mean()
        line["columns"] = len(spread)
        lines[measure] = line
    table = pd.DataFrame.from_dict(lines, orient="index")
    absent = [name for name in table if name.startswith("above ") and table[name].isna().all()]
    return table.drop(columns=absent)


def _of(answers: dict[str, pd.DataFrame], question: str) -> pd.DataFrame:
    empty: dict[str, list] = {"value": [], "other": [], "dataset": [], "model": []}
    return answers.get(question, pd.DataFrame(empty))


def agreement(frame: pd.DataFrame, question: str) -> pd.DataFrame:
    """Measures by measures: the mean over data sets and networks of `measures` (over methods) or `within` (pairs)."""
    part = frame[frame["question"] == question]
    names = list(dict.fromkeys(frame["measure"]))
    table = part.pivot_table(index="measure", columns="other", values="value", aggfunc="mean")
    return table.reindex(index=names, columns=names)


def heads(table: pd.DataFrame) -> list[str]:
    """Titles of a summary's columns."""
    shown = [name for name in table if name not in ("extrapolated", "columns")]
    return [HEADS["above"].format(name[6:]) if name.startswith("above ") else HEADS[name] for name in shown]


def cells(table: pd.DataFrame, measure: str) -> list[tuple[str, str, float]]:
    """(column, text, goodness from 0 to 1 or NaN) of a measure's line, in the order of `heads`."""
    found = []
    for name in table:
        if name in ("extrapolated", "columns"):
            continue
        value = float(table.loc[measure, name])
        if np.isnan(value):
            found.append((name, "–", np.nan))
        elif name == "pictures":
            text = f"{'> ' if table.loc[measure, 'extrapolated'] else ''}{value:,.0f}"
            found.append((name, text, float(np.clip(1 - np.log10(max(value, 10) / 10) / 3, 0, 1))))
        elif name == "resolution":
            found.append((name, f"{value:.1f}", float(np.clip(value / 8, 0, 1))))
        else:
            good = 2 * (value - 0.5) if name.startswith("above ") else value
            found.append((name, f"{value:.2f}", float(np.clip(good, 0, 1))))
    return found


def sentences(table: pd.DataFrame) -> list[str]:
    """What the summary says, in words."""
    said = []
    centres = [name for name in ("above center", "above center_map") if name in table]
    for name in centres:
        lost = [measure for measure in table.index if table.loc[measure, name] < 0.6]
        said.append(
            f"A real map is better than {name[6:]} in fewer than 60 % of pairs by: {', '.join(lost) or 'none'}."
        )
    stable = [measure for measure in table.index if table.loc[measure, "halves"] >= STANDS]
    said.append(
        f"Half of the pictures order methods as the other half does ({STANDS}) by: {', '.join(stable) or 'none'}."
    )
    return said


def reliability_markdown(frame: pd.DataFrame, made: Sequence[Board]) -> str:
    """All of it, for a terminal or a file."""
    table = summary(frame)
    lines = [["measure", *heads(table)]]
    lines += [[measure, *(text for _, text, _ in cells(table, measure))] for measure in table.index]
    blocks = [markdown_table(lines), "", *(f"- {each}" for each in [*about(made), *sentences(table)])]
    for question, title in (("measures", "over methods"), ("within", "within pairs, over methods")):
        both = agreement(frame, question)
        if both.notna().any(axis=None):
            lines = [[f"rank correlation {title}", *both.columns]]
            lines += [[name, *("–" if pd.isna(each) else f"{each:+.2f}" for each in both.loc[name])] for name in both]
            blocks += ["", markdown_table(lines)]
    return "\n".join(blocks)


def about(made: Sequence[Board]) -> list[str]:
    """What the numbers are about, in sentences."""
    where = dict.fromkeys(f"{board.dataset} with {board.model}" for board in made)
    methods = sorted({name for board in made for name in board.methods})
    controls = sorted({name for board in made for name in board.names} - set(methods))
    lost = max((board.left_out for board in made), default=0)
    return [
        f"Means over {', '.join(where)}; {len(methods)} methods: {', '.join(methods)}.",
        f"Controls: {', '.join(controls) or 'none, so nothing is said of discrimination'}.",
        "better than ...: share of (picture, class) pairs in which a real map has the better value; 0.5 is chance.",
        f"halves agree: rank correlation of two disjoint halves of the pictures. pictures until {STANDS}: how many a "
        "half needs for that correlation; > where some data set has too few, then by Spearman and Brown's formula.",
        "spread / detectable: differences between best and worst method that can be shown with 80 % power.",
        *([f"Up to {several(lost, 'pair')} left out, which not all methods have a value of."] if lost else []),
    ]
