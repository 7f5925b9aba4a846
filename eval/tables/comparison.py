"""Comparisons of methods as text."""

from pathlib import Path
from typing import Any

import pandas as pd

from eval.files.markdown import markdown_table
from eval.files.words import several
from eval.records.loading import load_runs, pool, readable, tell_apart
from eval.tables.formats import decimal, decimals, signed
from eval.tables.layout import named
from eval.tables.paired import paired_table
from eval.tables.rules import Changes
from eval.tables.sentence import p_value, sentences
from eval.tables.statistics import RULE


def print_comparison(records: Path, against: str) -> None:
    """Print every method of `records` compared with the one named `against`."""
    runs, bad = load_runs(records)
    runs = pool(readable(runs, bad))
    tell_apart(runs)
    print(comparison_markdown(paired_table(runs, None, Changes(), against=against)), end="")


def comparison_markdown(frame: pd.DataFrame, everything: bool = False) -> str:
    """A table a protocol, then sentences; intervals of differences that are shown are bold. everything: also columns
    that decide nothing."""
    blocks = []
    for (protocol, rule), part in frame.groupby(["protocol", "rule"], sort=False):
        head = ["data", "A", "B", "pairs", "pictures", "A − B", "95 % interval", "p (Holm)"]
        more = ["value A", "value B", "p", "differing", "A only", "B only", "McNemar", "McNemar (Holm)"]
        lines = [head + more * everything]
        lines += [_decisive(line) + (_further(line) if everything else []) for line in part.itertuples()]
        blocks += [f"### Protocol {protocol}: {rule}", "", markdown_table(lines), ""]
        blocks += [*(f"- {text}" for text in sentences(part)), ""]
    blocks += [f"{RULE} Holm: corrected for {several(len(frame), 'comparison')}."]
    return "\n".join(blocks) + "\n"


def _decisive(line: Any) -> list[str]:  # a line of a frame
    digits = decimals(line.measure, 4)
    bounds = "–" if pd.isna(line.low) else f"{signed(line.low, digits)} … {signed(line.high, digits)}"
    least = "" if line.complete or line.left_out else "at least "
    missing = "" if line.complete else f" (of {least}{line.n + line.left_out:,})"
    return [
        " ".join(filter(None, map(named, (line.dataset, line.model, line.subset)))),
        line.label_a,
        line.label_b,
        f"{line.n:,}{missing}",
        f"{line.pictures:,}",
        signed(line.difference, digits),
        f"**{bounds}**" if line.shown else bounds,
        p_value(line.exchange_holm),
    ]


def _further(line: Any) -> list[str]:
    digits = decimals(line.measure, 4)
    values = [decimal(value, digits) for value in (line.accuracy_a, line.accuracy_b)]
    counts = ["–" if pd.isna(count) else f"{count:,}" for count in (line.only_a, line.only_b)]
    return [*values, p_value(line.exchange), f"{line.differing:,}", *counts,
            *map(p_value, (line.mcnemar, line.mcnemar_holm))]  # fmt: skip
