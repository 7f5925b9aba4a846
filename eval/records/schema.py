"""The fields of a row, their types and ranges: one list for writing, reading and explaining rows."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from eval.files.markdown import markdown_table

# Raised whenever a field is added or changes its meaning. Runs of different versions are different runs.
SCHEMA = 4


@dataclass(frozen=True)
class Field:
    """kind: str, bool, int or float (a float may be a whole number). low, high: bounds, included. empty: None is a
    value. what: meaning and unit."""

    kind: type
    what: str
    low: float = -math.inf
    high: float = math.inf
    empty: bool = False

    def holds(self, value: object) -> bool:
        """Whether this field may hold `value`."""
        if value is None:
            return self.empty
        if self.kind in (str, bool):
            return type(value) is self.kind and value != ""
        if type(value) is not int and (self.kind is int or type(value) is not float):
            return False
        return self.low <= value <= self.high and math.isfinite(value)


SHARE: dict[str, Any] = {"low": 0, "high": 1}
FIELDS = {
    "key": Field(str, "the picture's name in its data set"),
    "label": Field(str, "the class"),
    "difficult": Field(bool, "whether the pair is in the difficult subset"),
    "region": Field(str, "digest of the ground-truth region (sixteen hex digits)"),
    "picture": Field(str, "digest of the picture file (sixteen hex digits); none: no file, or not read", empty=True),
    "width": Field(int, "of the original picture, pixels", 1),
    "height": Field(int, "of the original picture, pixels", 1),
    "area": Field(float, "of the region, as a share of the picture", **SHARE),
    "x": Field(float, "of the point, original pixels from the left"),
    "y": Field(float, "of the point, original pixels from the top"),
    "ties": Field(int, "pixels as high as the highest", 1),
    "constant": Field(bool, "whether the map is constant and so has no highest point"),
    "inside": Field(bool, "whether the pixel that holds the point lies in the region"),
    "distance": Field(float, "from the point to the region, original pixels; 0 inside", 0),
    "energy": Field(float, "share of the map's positive mass in the region; none: no map, or no positive mass",
                    **SHARE, empty=True),
    **{f"cover{percent}": Field(float, f"share of the region that the map's {percent} % most important pixels cover",
                                **SHARE, empty=True) for percent in (5, 10, 20)},
    "pixel_ap": Field(float, "average precision of the pixels in the map's order for being in the region", **SHARE,
                      empty=True),
    "iou_best": Field(float, "IoU of the region and the map cut at its best threshold", **SHARE, empty=True),
    "iou_area": Field(float, "mean of that IoU over thresholds from the map's lowest to its highest value", **SHARE,
                      empty=True),
    "gini": Field(float, "Gini index of the map's positive mass over pixels; none: no map, or no positive mass",
                  **SHARE, empty=True),
    "entropy": Field(float, "entropy of that mass, as a share of a uniform map's", **SHARE, empty=True),
    "score": Field(float, "of the class, the network's logit", empty=True),
    "rank": Field(int, "outputs of the network that score higher than the class; 0: top-1", 0, empty=True),
    "seconds": Field(float, "the method took for the picture, divided by its pairs", 0),
    "forwards": Field(float, "passes of the protocol's input through the network, divided by its pairs", 0),
    "memory_mb": Field(float, "the method's own peak of GPU memory, MB; none on a CPU", 0, empty=True),
}  # fmt: skip
TIMING = ("seconds", "memory_mb")  # differ between two equal runs


def columns() -> str:
    """The table of columns in eval/records/README.md, as Markdown."""
    lines = [["column", "type", "from", "to", "meaning and unit"]]
    for name, field in FIELDS.items():
        low, high = ("" if math.isinf(bound) else f"{bound:g}" for bound in (field.low, field.high))
        kind = field.kind.__name__ + (" or none" if field.empty else "")
        lines.append([f"`{name}`", kind, low, high, field.what])
    return markdown_table(lines, texts=(0, 1, 4)) + "\n"


def check(rows: Iterable[dict], origin: object) -> None:
    """ValueError names the first field of the first row that is missing, unknown, or not what FIELDS says."""
    names = FIELDS.keys()
    for row in rows:
        if row.keys() != names:
            lost, strange = sorted(names - row.keys()), sorted(row.keys() - names)
            what = f"has no field {lost[0]!r}" if lost else f"has a field {strange[0]!r} that no row has"
            raise ValueError(f"{origin}: the row of {_pair(row)} {what}; {REMEDY}")
        for name, field in FIELDS.items():
            if not field.holds(row[name]):
                raise ValueError(
                    f"{origin}: the row of {_pair(row)} has {row[name]!r} as {name} ({field.what}); {REMEDY}"
                )


REMEDY = "the rows were edited or are of another version: repair them, or remove the run and evaluate again"


def _pair(row: dict) -> str:
    return f"picture {str(row.get('key'))[:80]!r}, class {str(row.get('label'))[:80]!r}"
