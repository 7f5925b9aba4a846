"""The page of `scripts.reliability`: a matrix of measures by questions, curves, and how far measures agree."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

from eval.records.provenance import checkout
from eval.tables.formats import csv_text
from eval.tables.layout import named
from eval.tables.orders import STANDS
from eval.tables.reliability import Board
from eval.tables.reliable import about, agreement, cells, heads, sentences, summary

FOLDER = Path(__file__).parent
STYLE = FOLDER.parent / "report" / "page.css"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 420, 250, 34, 130, 12, 34
HUES = (210, 20, 140, 280, 45, 330, 175, 90, 0, 250, 60, 310)


def page(frame: pd.DataFrame, made: Sequence[Board]) -> str:
    """The page as text."""
    table = summary(frame)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(FOLDER), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template("page.html.jinja").render(
        style=Markup(STYLE.read_text(encoding="utf-8")),
        made=checkout() | {"date": datetime.now(UTC).strftime("%d %B %Y")},
        heads=heads(table),
        rows=[(measure, [(text, _tint(good)) for _, text, good in cells(table, measure)]) for measure in table.index],
        sentences=sentences(table),
        about=about(made),
        stands=STANDS,
        charts=[(title, Markup(_chart(part, list(table.index)))) for title, part in _columns(frame)],
        agreements=[
            (title, _matrix(agreement(frame, question)))
            for question, title in (("measures", "Over methods"), ("within", "Within pairs"))
        ],
        csv=csv_text(frame),
    )


def _columns(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    halves = frame[frame["question"] == "halves"]
    return [
        (f"{named(dataset)} · {named(model)}", part)
        for (dataset, model), part in halves.groupby(["dataset", "model"], sort=False)
    ]


def _tint(good: float) -> str:
    """A cell's colour, from none to strong; "" where nothing is known. Text stays the page's own."""
    return "" if np.isnan(good) else f"background:color-mix(in srgb, var(--hit) {round(55 * good)}%, transparent)"


def _matrix(table: pd.DataFrame) -> list[tuple[str, list[tuple[str, str]]]]:
    return [(name, [("–" if pd.isna(each) else f"{each:+.2f}", _signed(each)) for each in table.loc[name]])
            for name in table.index]  # fmt: skip


def _signed(value: float) -> str:
    if pd.isna(value):
        return ""
    colour = "var(--hit)" if value > 0 else "var(--miss)"
    return f"background:color-mix(in srgb, {colour} {round(55 * min(1, abs(value)))}%, transparent)"


def _chart(part: pd.DataFrame, names: list[str]) -> str:
    """An SVG of the split-half correlation over pictures, a line a measure, named at its end."""
    sizes = part["n"].to_numpy(float)
    low, high = np.log(sizes.min()), max(np.log(sizes.max()), np.log(sizes.min()) + 0.1)
    floor = min(0.0, float(part["value"].min()))

    def x(size: float) -> float:
        return LEFT + (np.log(size) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(value: float) -> float:
        return TOP + (1 - value) / (1 - floor) * (HEIGHT - TOP - BOTTOM)

    drawn = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="Rank correlation of two samples of pictures">'
    ]
    for value in (*(each for each in (0, 0.25, 0.5, 0.75, 1.0) if each >= floor), STANDS):
        dash = ' stroke-dasharray="4 3" style="stroke:var(--ink)"' if value == STANDS else ""
        drawn.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}"{dash}/>'
        )
        if value != STANDS:
            drawn.append(f'<text x="{LEFT - 5}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>')
    every = np.unique(sizes)
    for size in every[:: max(1, -(-len(every) // 6))]:
        drawn.append(f'<text x="{x(size):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{size:.0f}</text>')
    middle = (LEFT + WIDTH - RIGHT) / 2
    drawn.append(f'<text x="{middle}" y="{HEIGHT - 2}" text-anchor="middle">pictures in each sample</text>')
    ends = []
    for measure, line in part.groupby("measure", sort=False):
        line, place = line.sort_values("n"), names.index(str(measure))
        hue = f"hsl({HUES[place % len(HUES)]} 65% {45 if place < len(HUES) else 30}%)"
        points = " ".join(f"{x(n):.1f},{y(value):.1f}" for n, value in zip(line["n"], line["value"], strict=True))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{hue}" stroke-width="2"/>')
        ends.append([y(line["value"].iloc[-1]), x(line["n"].iloc[-1]), hue, str(measure)])
    ends.sort()
    step = min(13.0, (HEIGHT - TOP - BOTTOM) / max(1, len(ends)))
    floor_at = HEIGHT - BOTTOM + 4 - step * len(ends)
    last = -np.inf
    for number, (down, across, hue, measure) in enumerate(ends):
        last = max(min(down, floor_at + step * number), last + step)
        drawn.append(
            f'<line x1="{across:.1f}" y1="{down:.1f}" x2="{WIDTH - RIGHT + 8}" y2="{last:.1f}" stroke="{hue}"/>'
        )
        drawn.append(f'<text class="name" x="{WIDTH - RIGHT + 11}" y="{last + 4:.1f}" style="fill:{hue}">'
                     f"{Markup.escape(measure)}</text>")  # fmt: skip
    return "".join([*drawn, "</svg>"])
