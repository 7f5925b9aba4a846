"""A table frame as text: CSV, Markdown and LaTeX (booktabs), all from the same sheets."""

import pandas as pd

from eval.files.markdown import markdown_table
from eval.files.words import several
from eval.tables.layout import Line, Sheet, named, sheets
from eval.tables.scores import SCORES
from eval.tables.statistics import RULE
from eval.tables.terminal import printable

DAGGER = "†"
ALIKE = "≈"


def csv_text(frame: pd.DataFrame) -> str:
    """A line per cell; shares with six decimals, empty where there is nothing. A text that a spreadsheet would run as a
    formula begins with an apostrophe."""
    texts = frame.select_dtypes(include=["object", "string"])
    safe = frame.assign(**{name: texts[name].map(_no_formula) for name in texts})
    return safe.to_csv(index=False, float_format="%.6f", lineterminator="\n")


def _no_formula(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def number(cell: Line, digits: int) -> str:
    """The average: four decimals of a share, one of a distance; a dash where the method has no such measure."""
    if pd.isna(cell["accuracy"]):
        return "–"
    return decimal(cell["accuracy"], decimals(cell["measure"], digits))


def decimal(value: float, digits: int) -> str:
    """A number as every output has it: rounded once, from all its digits; a dash for none; no "-0.00"."""
    if pd.isna(value):
        return "–"
    text = f"{value:.{digits}f}"
    return text.replace("-", "") if float(text) == 0 else text


def decimals(measure: str, digits: int) -> int:
    """`digits` of a share, one of pixels."""
    return 1 if SCORES[measure].unit == "px" else digits


def range_of(cell: Line, digits: int) -> str:
    """The interval, "0.71–0.78"."""
    if pd.isna(cell["low"]):
        return "–"
    digits = decimals(cell["measure"], digits)
    return f"{decimal(cell['low'], digits)}–{decimal(cell['high'], digits)}"


def beside(cell: Line) -> str:
    """The published value and ours minus it, in the precision it was published in; "" without one."""
    if pd.isna(cell["published"]) or pd.isna(cell["delta"]):
        return ""
    digits = int(cell["digits"])
    return f"{decimal(cell['published'], digits)}, {signed(cell['delta'], digits)}"


def signed(value: float, digits: int) -> str:
    """With its sign: "+0.012", "−0.012", "±0.000"."""
    if pd.isna(value):
        return "–"
    text = f"{value:+.{digits}f}"
    return "±" + text[1:] if float(text) == 0 else text.replace("-", "−")


def share(cell: Line) -> str:
    """What an incomplete cell's value stands on: "100 of 7,013"; "166, from 608 of 1,463 rows" for a top-k cell where
    nobody knows how many there are; and the pictures whose pairs nobody knows."""
    if pd.notna(cell["expected"]) and pd.notna(cell["top_k"]):
        return f"{int(cell['n']):,} of {int(cell['expected']):,}"
    rows = f"{int(cell['rows'] - cell['unranked']):,} of {int(cell['pairs']):,}"
    if pd.notna(cell["top_k"]):
        rows = f"{int(cell['n']):,}, from {rows} rows"
    return rows + (f" and {several(int(cell['unreadable']), 'unreadable picture')}" if cell["unreadable"] else "")


def notes(sheet: Sheet) -> list[str]:
    """What a reader must know about the marks in a sheet."""
    lines = []
    if sheet.has("incomplete"):
        lines.append(f"{DAGGER} incomplete: stands on the pairs stated beside it, and is not ranked.")
    if sheet.has("alike"):
        lines.append(f"{ALIKE} not shown to be below the best of its column. {RULE}")
    lines += _common(sheet)
    lines += [
        f"{', '.join((cell['label'], cell['equals']))} ({' '.join(filter(None, map(named, where)))}): equal on every "
        "pair, so their maps are the same or as good as the same."
        for (_, where), cell in sheet.cells.items() if cell["equals"] and cell["label"] < cell["equals"]
    ]  # fmt: skip
    lines += [
        f"{' '.join(filter(None, (cell['label'], *map(named, where))))}: left out without such a value: "
        f"{several(int(cell['without']), 'pair')}."
        for (_, where), cell in sheet.cells.items() if cell["without"]
    ]  # fmt: skip
    lines += [
        f"{' '.join(filter(None, (cell['label'], *map(named, where))))}: {cell['seed_low']:.4g} to "
        f"{cell['seed_high']:.4g} by seed."
        for (_, where), cell in sheet.cells.items() if cell["seeds"] > 1 and pd.notna(cell["seed_low"])
    ]  # fmt: skip
    priced = [cell for cell in sheet.cells.values() if pd.notna(cell["measure_forwards"])]
    if priced:
        passes, seconds = (max(cell[f"measure_{name}"] for cell in priced) for name in ("forwards", "seconds"))
        lines.append(
            f"Observed at {passes:.3g} forward passes and {seconds:.2g} s a pair at most, beside the method's."
        )
    if (limit := SCORES[sheet.measure].passes_below) is not None:
        for (_, where), cell in sheet.cells.items():
            if pd.notna(cell["accuracy"]):
                verdict = "passes" if cell["accuracy"] < limit else "fails"
                if cell["low"] < limit <= cell["high"]:
                    verdict = "is undecided, since its 95 % interval holds the limit"
                who = " ".join(filter(None, (cell["label"], *map(named, where))))
                lines.append(f"{who} {verdict}: {decimal(cell['accuracy'], 2)}, and below {limit:g} passes.")
    failed = {cell["run"]: int(cell["failed"]) for cell in sheet.cells.values() if cell["failed"]}
    lines += [f"{run}: {several(count, 'picture')} failed, without rows." for run, count in failed.items()]
    constant = {
        (cell["label"], named(cell["dataset"]), named(cell["model"])): int(cell["constant"])
        for cell in sheet.cells.values()
        if cell["constant"] and cell["subset"] == "all"
    }
    means = " (misses)" if sheet.measure == "hit" else ""
    lines += [
        f"{' '.join(filter(None, who))}: {several(count, 'constant map')}{means}." for who, count in constant.items()
    ]
    references = {
        (cell["reference"], cell["reference_protocol"]) for cell in sheet.cells.values() if pd.notna(cell["published"])
    }
    for reference, protocol in sorted(references):
        lines.append(f"In brackets: the number published by {REFERENCES.get(reference, reference)}, and ours minus it.")
        if protocol != sheet.protocol:
            lines.append(
                f"It is published under the rules of protocol {protocol}; whether the table was made by those or by "
                f"the scripts' ({sheet.protocol}) the paper does not say."
            )
    return lines


def _common(sheet: Sheet) -> list[str]:
    """Where methods of a column have different pairs, their values on those that all have."""
    lines = []
    for column in sheet.columns:
        cells = [cell for name, _ in sheet.methods if (cell := sheet.cell(name, column)) and pd.notna(cell["common"])]
        if cells:
            digits = decimals(sheet.measure, 4)
            values = ", ".join(f"{cell['label']} {decimal(cell['common'], digits)}" for cell in cells)
            where = " ".join(filter(None, map(named, column)))
            lines.append(f"{where}, on the {int(cells[0]['common_n']):,} pairs that all of these have: {values}.")
    return lines


REFERENCES = {"paper": "the paper (Singh and Namboodiri)", "torchray": "TorchRay (Fong, Patrick and Vedaldi, 2019)"}


def markdown(frame: pd.DataFrame, digits: int = 4) -> str:
    """Per protocol the paper's table, and a line per cell with its interval and price."""
    blocks = []
    for sheet in sheets(frame):
        blocks += [f"### {sheet.title}", "", markdown_table(_matrix(sheet, digits)), ""]
        blocks += [*(f"- {note}" for note in notes(sheet)), ""] if notes(sheet) else []
        blocks += ["95 % intervals and cost per picture (of seconds the median):", ""]
        blocks += [markdown_table(_details(sheet, digits)), ""]
    return "\n".join(blocks).rstrip()


def _matrix(sheet: Sheet, digits: int) -> list[list[str]]:
    heads = [" ".join(filter(None, (named(d), named(m), named(s)))) for d, m, s in sheet.columns]
    lines = [["method", *heads], ["*pairs*", *(sheet.pairs(column) for column in sheet.columns)]]
    for name, label in sheet.methods:
        line = [label]
        for column in sheet.columns:
            cell = sheet.cell(name, column)
            line.append("" if cell is None else _markdown_cell(cell, digits))
        lines.append(line)
    return lines


def _markdown_cell(cell: Line, digits: int) -> str:
    text = number(cell, digits)
    text = f"**{text}**" if cell["best"] else f"<ins>{text}</ins>" if cell["second"] else text
    text += f" {ALIKE}" if cell["alike"] else ""
    text += "" if cell["complete"] else f" {DAGGER} {share(cell)}"
    return text + (f" ({beside(cell)})" if beside(cell) else "")


def _details(sheet: Sheet, digits: int) -> list[list[str]]:
    lines = [["data", "network", "subset", "method", "n", "value", "95 % interval", "s", "forward passes", "peak MB"]]
    for column in sheet.columns:
        for name, label in sheet.methods:
            cell = sheet.cell(name, column)
            if cell is None:
                continue
            dataset, model, subset = column
            mark = "" if cell["complete"] else f" {DAGGER}"
            line = [named(dataset), named(model), named(subset), label, f"{int(cell['n']):,}{mark}"]
            lines.append([*line, number(cell, digits), range_of(cell, digits), *price(cell)])
    return lines


def price(cell: Line) -> list[str]:
    """Seconds and forward passes per picture, peak memory in MB."""
    forwards = cell["forwards"]
    memory = "–" if pd.isna(cell["memory_mb"]) else f"{cell['memory_mb']:,.0f}"
    return [f"{cell['seconds']:.3g}", f"{forwards:,.0f}" if forwards == round(forwards) else f"{forwards:,.1f}", memory]


def latex(frame: pd.DataFrame, digits: int = 4) -> str:
    r"""A booktabs table a protocol; needs \usepackage{booktabs}. Best bold, second best underlined, as in the paper."""
    return "\n\n".join(_latex_sheet(sheet, digits) for sheet in sheets(frame))


def _latex_sheet(sheet: Sheet, digits: int) -> str:
    top, rules, at = [], [], 2
    for dataset, model, count in sheet.networks:
        name = _tex(" ".join(filter(None, (named(dataset), named(model)))))
        top.append(f"\\multicolumn{{{count}}}{{c}}{{{name}}}")
        rules.append(f"\\cmidrule(lr){{{at}-{at + count - 1}}}")
        at += count
    lines = [
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_tex(' '.join([sheet.title + '.', *notes(sheet)]))}}}",
        f"\\begin{{tabular}}{{l{'c' * len(sheet.columns)}}}",
        "\\toprule",
        " & ".join(["", *top]) + " \\\\",
        "".join(rules),
        " & ".join(["", *(f"{_tex(named(column[2]))} (n = {sheet.pairs(column)})" for column in sheet.columns)])
        + " \\\\",
        "\\midrule",
    ]
    for name, label in sheet.methods:
        cells = [sheet.cell(name, column) for column in sheet.columns]
        lines.append(" & ".join([_tex(label), *(_latex_cell(cell, digits) for cell in cells)]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"])


def _latex_cell(cell: Line | None, digits: int) -> str:
    if cell is None:
        return "--"
    text = number(cell, digits).replace("–", "--")
    text = f"\\textbf{{{text}}}" if cell["best"] else f"\\underline{{{text}}}" if cell["second"] else text
    text += "$^\\approx$" if cell["alike"] else ""
    text += "" if cell["complete"] else f"$^\\dagger$ {{\\scriptsize {share(cell)}}}"
    small = [part for part in (range_of(cell, digits).strip("–"), beside(cell)) if part]
    return text + "".join(f" {{\\scriptsize ({_tex(part)})}}" for part in small)


_TEX = {
    "\\": "\\textbackslash{}",
    "–": "--",
    "−": "$-$",
    "±": "$\\pm$",
    DAGGER: "$^\\dagger$",
    ALIKE: "$^\\approx$",
    "~": "\\textasciitilde{}",
}
_TEX |= {character: "\\" + character for character in "&%$#_{}"} | {"^": "\\textasciicircum{}", "<": "$<$", ">": "$>$"}


def _tex(text: str) -> str:
    # A character that usual fonts lack becomes its code point in words, so that the document compiles.
    return "".join(_TEX.get(c, c if ord(c) < 0x250 else f"[U+{ord(c):04X}]") for c in printable(text))
