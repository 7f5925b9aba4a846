"""The report page: what it shows, put into its template."""

import argparse
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import pandas as pd
from markupsafe import Markup

from eval.files.words import several
from eval.game.protocol import Protocol
from eval.records.loading import Run
from eval.records.provenance import checkout
from eval.running.log import say
from eval.tables.cells import Cell, table_cells
from eval.tables.formats import ALIKE, DAGGER, csv_text, decimal, decimals, latex, signed
from eval.tables.html_table import html_tables
from eval.tables.layout import named
from eval.tables.overview import MEASURES, arrow, overviews
from eval.tables.paired import paired_table
from eval.tables.rules import Changes
from eval.tables.scores import SCORES
from eval.tables.sentence import p_value, sentence
from eval.tables.table import refuse_incomplete, table_frame
from scripts.report.curves import sizes, views
from scripts.selection import selection

FOLDER = Path(__file__).parent
TITLES = dict.fromkeys(("hit", "distance"), "Image attribution in the pointing game")
SCRIPTS = ("charts.js", "tables.js", "page.js")


def page(arguments: argparse.Namespace) -> str:
    """The page as text. ValueError if the arguments select no rows."""
    say("report: reading rows")
    runs, changes, rule, subsets = selection(arguments)
    say(f"report: table of {several(len(runs), 'run')}")
    cells = table_cells(runs, changes, rule, subsets, arguments.resamples)
    if not cells:
        raise ValueError(f"{arguments.records} holds no rows for this selection")
    frame = table_frame(cells, arguments.resamples)
    frame = frame.iloc[frame["dataset"].map(sizes(cells)).mul(-1).argsort(kind="stable")]
    frame = frame.sort_values("protocol", kind="stable").reset_index(drop=True)
    if arguments.strict:
        refuse_incomplete(frame)
    say("report: curves")
    data = {"views": views(cells), "items": [], "images": {}, "tables": copies(frame)}
    notes = []
    say("report: every measure, and differences")
    names = measures_of(cells)
    measured = values_of(names, cells, subsets[0], arguments.resamples)
    names = [arguments.measure, *(name for name in names if name != arguments.measure)]
    compared = differences(names, runs, changes, rule and rule.protocol, subsets, arguments)
    if arguments.gallery > 0:
        say("report: pictures")
        data["items"], data["images"], notes = pictures(cells, arguments.gallery, not arguments.no_recompute)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.jinja").render(
        title=arguments.title or TITLES.get(arguments.measure, f"Image attribution by {arguments.measure}"),
        measured=measured,
        several=several,
        compared=compared,
        made=checkout() | {"date": datetime.now(UTC).strftime("%d %B %Y")},
        measure=SCORES[arguments.measure].what,
        measure_name=arguments.measure,
        tolerance=arguments.measure in TITLES,
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


def measures_of(cells: list[Cell]) -> list[str]:
    """Names of the scores that the rows of the cells hold, in the order in which pages have them."""
    observed = [each for run in {cell.run for cell in cells} for each in run.observations]
    for target in sorted({each.part["build"]["_target_"] for each in observed}):
        SCORES.learn(target)  # those alone: to import every measure takes a while
    there = {each.name for each in observed}
    names = [name for name in SCORES if SCORES.measures.get(name, None if name in MEASURES else "") in (None, *there)]
    return sorted(names, key=lambda name: MEASURES.index(name) if name in MEASURES else len(MEASURES))


def values_of(names: list[str], cells: list[Cell], subset: str, resamples: int) -> list[dict]:
    """A table for each protocol, data set and network: methods by measures. Each value with its rank; sort: what a
    column is sorted by."""
    tables = []
    for protocol in {cell.rule.protocol.label: cell.rule.protocol for cell in cells}.values():
        runs = list(dict.fromkeys(cell.run for cell in cells if cell.rule.protocol == protocol))
        for one in overviews(runs, protocol, subset, names, resamples):
            body = []
            for method, label in one.labels.items():
                values = []
                for column in one.columns:
                    value, rank = column.values[method], column.ranks[method]
                    known, alike = pd.notna(value), method in column.alike
                    text = decimal(value, decimals(column.score.name, 3)) if known else "–"
                    text += f" {ALIKE}" * alike + f" {DAGGER}" * (method in column.incomplete)
                    values.append({"text": text, "sort": float(value) if known else None, "best": rank == 1,
                                   "rank": f"{rank:g}" if pd.notna(rank) else ""})  # fmt: skip
                body.append({"label": label, "values": values})
            title = " ".join(filter(None, map(named, (one.dataset, one.model, one.subset))))
            heads = [{"name": column.name, "arrow": arrow(column.score), "unit": column.score.unit,
                      "what": column.score.what} for column in one.columns]  # fmt: skip
            size = max(cell.pairs for cell in cells if cell.run.dataset == one.dataset)
            tables.append({"title": f"{title}, protocol {protocol.label}", "heads": heads, "body": body, "size": size})
    return sorted(tables, key=lambda table: -table["size"])


def differences(
    names: list[str], runs: list[Run], changes: Changes, protocol: Protocol | None, subsets: tuple[str, ...],
    arguments: argparse.Namespace,
) -> list[dict]:  # fmt: skip
    """A line for each method against the reference by each measure, the first one by every subset, the others by the
    first; none where the reference has no rows, or where intervals and tests are left out (--resamples 0)."""
    there = {run.info["method"] for run in runs}
    against = arguments.against or ("gradcam" if "gradcam" in there else None)
    if against is None or len(runs) < 2 or not arguments.resamples:
        return []
    lines = []
    for name in names:
        by = replace(changes, measure=name)
        rule, parts = by.applied(protocol) if protocol else None, subsets if name == names[0] else subsets[:1]
        for line in paired_table(runs, None, by, rule, parts, arguments.resamples, against).itertuples():
            digits = decimals(line.measure, 4)
            bounds = "–" if pd.isna(line.low) else f"{signed(line.low, digits)} … {signed(line.high, digits)}"
            where = " ".join(filter(None, map(named, (line.dataset, line.model, line.subset))))
            lines.append({"where": f"{where}, {line.protocol}", "method": line.label_a, "reference": line.label_b,
                          "measure": f"{name} {arrow(SCORES[name])}", "difference": signed(line.difference, digits),
                          "sort": line.difference, "bounds": bounds, "p": p_value(line.exchange_holm),
                          "p_sort": line.exchange_holm, "pairs": f"{line.n:,}", "n": line.n, "shown": line.shown,
                          "sentence": sentence(line)})  # fmt: skip
    return sorted(lines, key=lambda line: -line["n"])


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
