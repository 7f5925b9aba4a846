"""The site's pages: what they show, put into their templates. Every text of a claim is escaped by the template."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from eval.claims import data, folder
from eval.claims.board import Board, Entry, boards
from eval.claims.checking import check, twice
from eval.claims.claim import Claim
from eval.claims.report import MARK, Report
from eval.claims.statement import CODE, LOOKED_AT
from eval.claims.verdicts import verdicts
from eval.records.provenance import checkout
from eval.tables.formats import decimals, signed
from eval.tables.layout import named

FOLDER = Path(__file__).parent
STYLE = (FOLDER.parent / "report" / "page.css", FOLDER / "board.css")
FILES, MAPS = "claims", "maps"
PICTURES = 4  # of each claim are shown


def build(
    places: Sequence[Path], out: Path, title: str, reference: str, maps: Callable[[Claim, Path], dict]
) -> tuple[int, list[str]]:
    """Write the site; (how many claims it shows, which are left out and why). maps: `drawn` with its options.
    ValueError without a claim that is whole."""
    shown: list[tuple[Claim, Report]] = []
    left_out = []
    for place in places:
        report, claim = check(place, lambda _: None, scores=False)
        faults = [line.text for line in report.lines if line.what == "fails"]
        try:
            known = verdicts(claim) if claim and not faults else []
        except ValueError as error:
            faults.append(str(error))
        if claim is None or faults:
            left_out.append(f"{place}: {faults[0]}")
        elif any(not each["holds"] for each in known):
            left_out.append(f"{place}: the verdict of {known[0]['by']} is that it does not hold")
        else:
            shown.append((claim, report))
    doubles = twice([claim for claim, _ in shown])
    left_out += [text for what, text in doubles if what != MARK]
    again = {text.partition(" ")[0] for what, text in doubles if what != MARK}
    kept = [claim for claim, _ in shown if claim.folder.place.name not in again]
    if not kept:
        raise ValueError(
            "no claim is whole, so there is nothing to show:" + "".join(f"\n  {line}" for line in left_out)
        )
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    common = {
        "style": Markup("\n".join(path.read_text(encoding="utf-8") for path in STYLE)),
        "script": Markup((FOLDER / "board.js").read_text(encoding="utf-8")),
        "made": checkout() | {"date": datetime.now(UTC).strftime("%d %B %Y")},
        "title": title,
    }
    lines = {claim.name: about(claim, report) for claim, report in shown}
    tables = [table(board, lines) for board in boards(kept, reference)]
    out.mkdir(parents=True, exist_ok=True)
    index = environment.get_template("index.html.jinja").render(
        boards=tables, claims=len(kept), left_out=left_out, **common
    )
    (out / "index.html").write_text(index, encoding="utf-8")
    page = environment.get_template("claim.html.jinja")
    shutil.rmtree(out / MAPS, ignore_errors=True)  # pictures of an earlier call, which asked for them
    for claim in kept:
        text = page.render(claim=lines[claim.name], detail=detail(claim, tables) | maps(claim, out), **common)
        (out / f"{claim.name}.html").write_text(text, encoding="utf-8")
        for name, content in claim.folder.files.items():
            (out / FILES / claim.name / name).parent.mkdir(parents=True, exist_ok=True)
            (out / FILES / claim.name / name).write_bytes(content)
    return len(kept), left_out


def drawn(claim: Claim, out: Path, overrides: tuple[str, ...], trust: bool) -> dict[str, Any]:
    """The figures of a few pictures that a hash of the rows draws, evaluated anew, and what came out of it."""
    if not overrides:
        return {"figures": [], "anew": []}
    from eval.claims import rerun

    report = Report(claim.folder.place)
    figures = rerun.rerun(claim, report, rerun.Wish(PICTURES, overrides, trust), figures=out / MAPS / claim.name)
    return {
        "figures": [(path.relative_to(out).as_posix(), text) for path, text in figures],
        "anew": [line.text for line in report.lines],
    }


def about(claim: Claim, report: Report) -> dict[str, Any]:
    """What every page says of a claim."""
    names, known = ("label", "author", "paper", "url", "looked_at", "tried", "stated"), verdicts(claim)
    badge, by = (known[0]["verdict"], known[0]["by"]) if known else ("not checked by others", "")
    return {name: getattr(claim.said, name) for name in names} | {
        "name": claim.name,
        "badge": badge,
        "by": by,
        "kind": badge.partition(" ")[0],
        "verdicts": known,
        "marks": [line.text for line in report.lines if line.what == MARK],
    }


def table(board: Board, lines: dict[str, dict]) -> dict[str, Any]:
    """A board for its template."""
    digits = decimals(board.entries[0].cell.rule.measure, 4)
    ends = [x for entry in board.entries for x in (entry.cell.low, entry.cell.high) if x == x]
    low, high = (min(ends), max(ends)) if ends else (0.0, 1.0)
    return {
        "board": board,
        "rows": [_row(entry, lines[entry.claim.name], digits, low, max(high - low, 1e-9)) for entry in board.entries],
    }


def _row(entry: Entry, line: dict, digits: int, low: float, span: float) -> dict[str, Any]:
    cell = entry.cell
    rule = cell.rule
    place = rule.protocol.label, cell.subset, rule.measure
    paper = next((s["value"] for s in line["stated"] if (s["protocol"], s["subset"], s["measure"]) == place), None)
    known = cell.low == cell.low
    return line | {
        "places": entry.places,
        "groups": entry.groups,
        "value": f"{cell.accuracy:.{digits}f}",
        "interval": f"{cell.low:.{digits}f}–{cell.high:.{digits}f}" if known else "–",
        "left": round(100 * (cell.low - low) / span) if known else 0,
        "width": max(1, round(100 * (cell.high - cell.low) / span)) if known else 0,
        "difference": "" if entry.difference is None else signed(entry.difference[0], digits),
        "between": "" if entry.difference is None else " … ".join(signed(x, digits) for x in entry.difference[1:]),
        "shown": entry.difference is not None and (entry.difference[1] > 0 or entry.difference[2] < 0),
        "passes": f"{cell.forwards:,.1f}",
        "paper_says": f"{paper:g}" if paper is not None and round(paper, 4) != round(cell.accuracy, 4) else "",
    }


def detail(claim: Claim, tables: Sequence[dict]) -> dict[str, Any]:
    """What a claim's own page says."""
    info, said = claim.run.info, claim.said
    made = info["provenance"]
    return {
        "numbers": [
            row | {"board": each["board"]} for each in tables for row in each["rows"] if row["name"] == claim.name
        ],
        "info": info,
        "text": said.text,
        "code": f"{CODE[said.code]} {said.code_value}".strip(),
        "looked_at": LOOKED_AT[said.looked_at] + (f": {said.looked_at_what}" if said.looked_at_what else ""),
        "dataset": named(info["dataset"]),
        "holds": data.completeness(claim.run)[0],
        "constant": int(claim.run.rows["constant"].sum()),
        "commit": (made.get("commit") or "not from a checkout")[:10] + (" with changes" if made.get("dirty") else ""),
        "versions": ", ".join(f"{name} {version}" for name, version in (made.get("versions") or {}).items() if version),
        "files": [name for name in sorted(claim.folder.files) if not name.startswith(f"{folder.VERDICTS}/")],
        **{name: json.dumps(info[name], indent=1, ensure_ascii=False) for name in ("identity", "config")},
    }
