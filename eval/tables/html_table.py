"""A table frame as HTML, from the same sheets as the other formats."""

import html

import pandas as pd

from eval.tables.formats import ALIKE, DAGGER, beside, notes, number, range_of, share
from eval.tables.layout import Line, Sheet, named, sheets


def html_tables(frame: pd.DataFrame, digits: int = 4) -> str:
    """A <figure> with a <table> a protocol, without style: `python -m scripts.report` makes the page around it."""
    return "\n".join(html_sheet(sheet, digits) for sheet in sheets(frame))


def html_sheet(sheet: Sheet, digits: int = 4) -> str:
    """One sheet as a <figure> with its notes."""
    head = "".join(
        f'<th scope="colgroup" colspan="{count}">{html.escape(named(dataset))} '
        f"<span>{html.escape(named(model))}</span></th>"
        for dataset, model, count in sheet.networks
    )
    subsets = "".join(
        f'<th scope="col">{html.escape(named(column[2]))}<small>n = {sheet.pairs(column)}</small></th>'
        for column in sheet.columns
    )
    body = []
    for name, label in sheet.methods:
        cells = "".join(_html_cell(sheet.cell(name, column), digits) for column in sheet.columns)
        body.append(f'<tr data-method="{html.escape(name)}"><th scope="row">{html.escape(label)}</th>{cells}</tr>')
    listed = "".join(f"<li>{html.escape(note)}</li>" for note in notes(sheet))
    return (
        f'<figure class="sheet"><h3>{html.escape(sheet.title)}</h3><div class="scroll"><table><thead>'
        f'<tr><th rowspan="2" scope="col">Method</th>{head}</tr><tr>{subsets}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
        f"{f'<figcaption><ul>{listed}</ul></figcaption>' if listed else ''}</figure>"
    )


def _html_cell(cell: Line | None, digits: int) -> str:
    if cell is None:
        return '<td class="none">–</td>'
    text = number(cell, digits)
    text = f"<strong>{text}</strong>" if cell["best"] else f"<u>{text}</u>" if cell["second"] else text
    text += f' <span title="not shown to be below the best">{ALIKE}</span>' if cell["alike"] else ""
    parts = [f'<span class="value">{text}</span>']
    if not cell["complete"]:
        parts.append(f'<small class="incomplete">{DAGGER} {share(cell)}</small>')
    if pd.notna(cell["low"]):
        parts.append(f'<small class="interval">{range_of(cell, digits)}</small>')
    if beside(cell):
        parts.append(f'<small class="published">({beside(cell)})</small>')
    return f"<td>{''.join(parts)}</td>"
