"""The paper's layout of a table frame: methods down, (data set, network, subset) across, one sheet a protocol."""

import re
from dataclasses import dataclass
from typing import Any

import pandas as pd

NAMES = {
    "pascal": "Pascal VOC2007",
    "imagenet": "ImageNet",
    "coco": "COCO",
    "demo": "Demo",
    "vgg16": "VGG16",
    "resnet50": "ResNet50",
    "all": "All",
    "diff": "Diff",
}

# Baselines first, then the methods in the paper's order, then others by name; the paper's own method closes the table.
FIRST = ("center", "random", "gradcam", "gradcampp", "relevancecam", "scorecam", "layercam")
LAST = "gpnncam"


def named(name: str) -> str:
    """A data set, network or subset as readers know it."""
    return NAMES.get(name, name)


def place(method: str) -> tuple[int, tuple]:
    """Sort key of a method's name, with or without a variant; numbers in it go by value: n=5 before n=20."""
    name = method.partition(" [")[0]
    # split leaves texts at even places and numbers at odd ones, so that like is compared with like
    parts = tuple(float(part) if at % 2 else part for at, part in enumerate(re.split(r"(\d+(?:\.\d+)?)", method)))
    if name in FIRST:
        return FIRST.index(name), parts
    return len(FIRST) + (name == LAST), parts


# A line of a table frame by its columns: a cell of the table.
Line = dict[str, Any]


@dataclass(frozen=True)
class Sheet:
    """One protocol's table.

    columns: (dataset, model, subset). methods: (name, label). cells: the frame's line at (name, column), where there
    is one.
    """

    protocol: str
    measure: str
    rule: str
    columns: list[tuple[str, str, str]]
    methods: list[tuple[str, str]]
    cells: dict[tuple[str, tuple[str, str, str]], Line]

    @property
    def title(self) -> str:
        """Of the sheet."""
        return f"Protocol {self.protocol}: {self.rule}"

    @property
    def networks(self) -> list[tuple[str, str, int]]:
        """(dataset, model, how many subset columns) of neighbouring columns."""
        pairs = dict.fromkeys((dataset, model) for dataset, model, _ in self.columns)
        return [(*pair, sum(column[:2] == pair for column in self.columns)) for pair in pairs]

    def pairs(self, column: tuple[str, str, str]) -> str:
        """How many pairs the values of a column stand on: "181"; "7–34 of 181" where no cell counts all; for a top-k
        column of which nobody knows how many there are, the largest n as a lower bound: "≥ 166"."""
        cells = [cell for (_, where), cell in self.cells.items() if where == column]
        counted = [int(cell["n"]) for cell in cells if cell["complete"]]
        if counted:
            return f"{max(counted):,}"
        some = [int(cell["n"]) for cell in cells]
        known = [int(cell["expected"]) for cell in cells if pd.notna(cell["expected"])]
        if not known:
            return f"≥ {max(some):,}"
        span = f"{min(some):,}" + (f"–{max(some):,}" if max(some) > min(some) else "")
        return f"{max(known):,}" if min(some) == max(known) else f"{span} of {max(known):,}"

    def cell(self, method: str, column: tuple[str, str, str]) -> Line | None:
        """The cell of a method and column; None: there is none."""
        return self.cells.get((method, column))

    def has(self, what: str) -> bool:
        """Whether any cell is `incomplete`, has a `published` number, ..."""
        cells = self.cells.values()
        if what == "incomplete":
            return any(not cell["complete"] for cell in cells)
        return any(pd.notna(cell[what]) and bool(cell[what]) for cell in cells)


def sheets(frame: pd.DataFrame) -> list[Sheet]:
    """One sheet a protocol: numbers under different rules never share a table. ValueError if two runs claim a cell."""
    tables = []
    for protocol, part in frame.groupby("protocol", sort=False):
        cells: dict[tuple[str, tuple[str, str, str]], Line] = {}
        for cell in part.to_dict("records"):
            where = cell["method"], (cell["dataset"], cell["model"], cell["subset"])
            if where in cells:
                raise ValueError(
                    f"two runs claim the cell {where} of protocol {protocol}: {cells[where]['run']}, {cell['run']}"
                )
            cells[where] = cell
        columns = list(dict.fromkeys(where for _, where in cells))
        # Of one method some cells may stand for several seeds and say so in the label: the name of the line does not.
        methods: dict[str, str] = {}
        for name, label in zip(part["method"], part["label"], strict=True):
            methods[name] = min(methods.get(name, label), label, key=len)
        tables.append(
            Sheet(
                protocol,
                part["measure"].iloc[0],
                part["rule"].iloc[0],
                columns,
                sorted(methods.items(), key=lambda method: place(method[0])),
                cells,
            )
        )
    return tables
