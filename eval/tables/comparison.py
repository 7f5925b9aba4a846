"""Comparisons of methods as text."""

from pathlib import Path

import pandas as pd

from eval.files.markdown import markdown_table
from eval.records.loading import load_runs, pool, readable, tell_apart
from eval.tables.formats import decimals, signed
from eval.tables.layout import named
from eval.tables.paired import paired_table
from eval.tables.rules import Changes


def print_comparison(records: Path, against: str) -> None:
    """Print every method of `records` compared with the one named `against`."""
    runs, bad = load_runs(records)
    runs = pool(readable(runs, bad))
    tell_apart(runs)
    print(comparison_markdown(paired_table(runs, None, Changes(), against=against)), end="")


def comparison_markdown(frame: pd.DataFrame) -> str:
    """A table a protocol; intervals that exclude 0 are bold."""
    blocks = []
    for (protocol, rule), part in frame.groupby(["protocol", "rule"], sort=False):
        head = ["data", "network", "subset", "A", "B", "n", "A", "B", "difference", "95 % interval"]
        lines = [[*head, "exchange", "Holm", "A only", "B only", "McNemar", "Holm"]]
        for line in part.itertuples():
            digits = decimals(line.measure, 4)
            bounds = f"{signed(line.low, digits)} … {signed(line.high, digits)}"
            lines.append(
                [
                    *map(named, (line.dataset, line.model, line.subset)),
                    line.label_a,
                    line.label_b,
                    f"{line.n:,}" + (f" (of {line.n + line.left_out:,})" if line.left_out else ""),
                    f"{line.accuracy_a:.{digits}f}",
                    f"{line.accuracy_b:.{digits}f}",
                    signed(line.difference, digits),
                    f"**{bounds}**" if line.low > 0 or line.high < 0 else bounds,
                    *map(p_value, (line.exchange, line.exchange_holm)),
                    *("–" if pd.isna(count) else f"{count:,}" for count in (line.only_a, line.only_b)),
                    *map(p_value, (line.mcnemar, line.mcnemar_holm)),
                ]
            )
        blocks += [f"### Protocol {protocol}: {rule}", "", markdown_table(lines), ""]
    blocks += [f"Holm: corrected for {len(frame)} comparisons."]
    return "\n".join(blocks) + "\n"


def p_value(p: float) -> str:
    """ "0.031", "4e-07", "–" """
    if pd.isna(p):
        return "–"
    if p < 1e-99:
        return "<1e-99"
    return f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"
