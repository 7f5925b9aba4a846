"""The report page: what it shows, put into its template."""

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from eval.records.loading import Run
from eval.records.provenance import checkout
from eval.tables.cells import Cell, table_cells
from eval.tables.formats import csv_text, latex
from eval.tables.html_table import html_tables
from eval.tables.layout import named
from eval.tables.scores import SCORES
from eval.tables.table import refuse_incomplete, table_frame
from scripts.report.curves import views
from scripts.selection import selection

FOLDER = Path(__file__).parent
SCRIPTS = ("charts.js", "tables.js", "page.js")


def page(arguments: argparse.Namespace) -> str:
    """The page as text. ValueError if the arguments select no rows."""
    cells = table_cells(*selection(arguments), arguments.resamples)
    if not cells:
        raise ValueError(f"{arguments.records} holds no rows for this selection")
    frame = table_frame(cells, arguments.resamples)
    if arguments.strict:
        refuse_incomplete(frame)
    data = {"views": views(cells), "items": [], "images": {}, "tables": copies(frame)}
    notes = []
    if arguments.gallery > 0:
        data["items"], data["images"], notes = pictures(cells, arguments.gallery, not arguments.no_recompute)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.jinja").render(
        title=arguments.title,
        made=checkout() | {"date": datetime.now(UTC).strftime("%d %B %Y")},
        measure=SCORES[arguments.measure].what,
        measure_name=arguments.measure,
        curves=SCORES[arguments.measure].curve is not None,
        tables=Markup(html_tables(frame, digits=3)),
        protocols=list(dict.fromkeys(zip(frame["protocol"], frame["rule"], strict=True))),
        runs=[about(each) for run in dict.fromkeys(cell.run for cell in cells) for each in run.seeds or [run]],
        notes=notes,
        gallery=bool(data["items"]),
        data=Markup(script_json(data)),
        style=Markup((FOLDER / "page.css").read_text(encoding="utf-8")),
        scripts=Markup("\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)),
    )


def copies(frame: pd.DataFrame) -> list[dict[str, str]]:
    """What the page's buttons copy of each protocol's table, in the order of the tables."""
    parts = [part for _, part in frame.groupby("protocol", sort=False)]
    return [{"csv": csv_text(part), "latex": latex(part, digits=3)} for part in parts]


def pictures(cells: list[Cell], count: int, recompute: bool) -> tuple[list, dict, list[str]]:
    """(items, images, notes) of the gallery."""
    from scripts.report.gallery import Gallery  # builds data sets and networks: not for a page without pictures

    protocols, groups_of = {}, {}
    for cell in cells:
        protocols.setdefault((cell.run.dataset, cell.model, cell.rule.label), {}).setdefault(cell.run, cell)
    for (dataset, model, _), group in protocols.items():
        seeing = frozenset(run.folder for run in group if run.model) or None
        groups_of.setdefault((dataset, model, seeing), []).append(list(group.values()))
    gallery = Gallery(count, recompute)
    for groups in groups_of.values():
        gallery.add(groups)
    return gallery.items, gallery.images, gallery.notes


def about(run: Run) -> dict:
    """What the page says about where a run's rows are from."""
    made, who = run.info["provenance"], run.info["identity"]
    return {
        "folder": run.folder.name,
        "label": run.label,
        "data": " · ".join(filter(None, (named(run.dataset), named(run.model or "")))),
        "protocols": ", ".join(protocol["name"] for protocol in run.info["protocols"]),
        "rows": len(run.rows),
        "pairs": run.info["pairs"]["all"],
        "failures": run.failures,
        "commit": (made["commit"] or "not from a checkout")[:10] + (" with changes" if made["dirty"] else ""),
        "hardware": made["hardware"],
        "date": made["date"],
        "versions": ", ".join(f"{name} {version}" for name, version in made["versions"].items() if version),
        "resumed": [f"{again['date']} on {again['hardware']}" for again in run.info.get("resumed", [])],
        "identity": json.dumps(who, indent=1, ensure_ascii=False),
        "config": json.dumps(run.info["config"], indent=1, ensure_ascii=False),
    }


def script_json(data: dict) -> str:
    """JSON that no text in it can end the <script> element of."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
