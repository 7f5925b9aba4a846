"""Pictures of heat maps: rows of (picture, class), columns of methods, with boxes, the point, hit or miss."""

import textwrap
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

# Okabe and Ito's colours keep apart under every common colour blindness; a mark and a word say the same as the colour.
HIT, MISS, BOX = "#009E73", "#D55E00", "#F0E442"


@dataclass(frozen=True)
class Cell:
    """One method's answer about one (picture, class).

    heat: (height,width) on the picture's grid, any scale, or None for a method that only names a point.
    point: (x, y) in the row's picture. hit: whether the protocol counts it, None where nobody can say.
    """

    heat: np.ndarray | None
    point: tuple[float, float]
    hit: bool | None


@dataclass(frozen=True)
class Row:
    """image: (height,width,3) uint8. boxes: (N,4) x0 y0 x1 y1 of the class, end exclusive. cells: one per method."""

    title: str
    image: np.ndarray
    boxes: np.ndarray
    cells: list[Cell]


def draw(rows: list[Row], methods: list[str], path: Path) -> None:
    """Write a figure, PNG or what the suffix says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure_of(rows, methods).savefig(path, dpi=110, bbox_inches="tight")


def figure_of(rows: list[Row], methods: list[str], width: float = 2.2) -> Figure:
    """A row per (picture, class): the picture, then a column per method; `width` of one in inches."""
    heights = [width * row.image.shape[0] / row.image.shape[1] + 0.28 for row in rows]
    figure = Figure(figsize=(width * (len(methods) + 1), sum(heights) + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(rows), len(methods) + 1, squeeze=False, height_ratios=heights)
    for line, row in zip(axes, rows, strict=True):
        for axis in line:
            axis.set_axis_off()
            axis.imshow(row.image)
            for x0, y0, x1, y1 in row.boxes:
                outline = Rectangle((x0 - 0.5, y0 - 0.5), x1 - x0, y1 - y0, fill=False, color=BOX, linewidth=1.6)
                axis.add_patch(outline)
        line[0].set_title(_folded(row.title, 34), fontsize=9)
        for axis, cell in zip(line[1:], row.cells, strict=True):
            _overlay(axis, cell, row.image.shape)
    for axis, method in zip(axes[0][1:], methods, strict=True):
        height = 1.16 if any(row.cells[0].hit is not None for row in rows) else 1.03
        axis.text(
            0.5,
            height,
            _folded(method, 22),
            transform=axis.transAxes,
            ha="center",
            va="bottom",
            fontsize=11,
            weight="bold",
        )
    return figure


def _folded(text: str, width: int) -> str:
    """Lines of at most `width` characters: a column is no wider than its picture."""
    return "\n".join(textwrap.wrap(text, width, break_on_hyphens=False)) or text


def _overlay(axis: Axes, cell: Cell, shape: tuple[int, ...]) -> None:
    if cell.heat is not None:
        span = float(cell.heat.max() - cell.heat.min())
        scaled = (cell.heat - cell.heat.min()) / span if span > 0 else np.zeros_like(cell.heat)
        axis.imshow(scaled, cmap="inferno", vmin=0, vmax=1, alpha=0.25 + 0.5 * scaled)
    x, y = cell.point
    colour = {True: HIT, False: MISS, None: "black"}[cell.hit]
    axis.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor="white", markeredgewidth=3)
    axis.plot(x, y, "o", markersize=9, markerfacecolor="none", markeredgecolor=colour)
    axis.set_xlim(-0.5, shape[1] - 0.5)
    axis.set_ylim(shape[0] - 0.5, -0.5)
    if cell.hit is not None:
        axis.set_title("✓ hit" if cell.hit else "✗ miss", fontsize=9, color=colour)
