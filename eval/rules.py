"""How rows are scored: a protocol's hit rule or another measure, which pairs count, which average. No rerun needed."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pandas as pd

from eval.loaded import Run, named_protocol
from eval.protocol import Protocol

# measure -> (what it is, whether less is better)
MEASURES = {
    "hit": ("pointing game: whether the highest point counts as a hit", False),
    "energy": ("share of the map's positive mass in the region", False),
    "distance": ("pixels of the original picture from the highest point to the region", True),
    "cover5": ("share of the region covered by the map's 5 % most important pixels", False),
    "cover10": ("share of the region covered by the map's 10 % most important pixels", False),
    "cover20": ("share of the region covered by the map's 20 % most important pixels", False),
}


@dataclass(frozen=True)
class Rule:
    """A protocol, a measure and the pairs that count.

    label: the protocol's name, with what was changed in it: "paper [tolerance=30]". Published numbers belong to
    unchanged protocols only. top_k: only pairs whose class is among the network's k highest outputs; None: all.
    """

    protocol: Protocol
    label: str
    measure: str = "hit"
    top_k: int | None = None

    def __post_init__(self):
        if self.measure not in MEASURES:
            raise ValueError(f"unknown measure {self.measure!r}; known are {', '.join(MEASURES)}")
        if self.top_k is not None and self.top_k < 1:
            raise ValueError(f"top-k must be at least 1, not {self.top_k}")

    @property
    def published(self) -> bool:
        """Whether this is a protocol as it is named, asked about all pairs: published numbers may stand beside it."""
        return self.label == self.protocol.name and self.measure == "hit" and self.top_k is None

    @property
    def told(self) -> str:
        """The rule in words."""
        what, protocol = MEASURES[self.measure][0], self.protocol
        if self.measure == "hit":
            near = f"lies less than {protocol.tolerance:g} px from" if protocol.hit == "tolerance" else "lies in"
            what = f"share of pairs whose highest point {near} the region"
        top = "" if self.top_k is None else f"; only classes in the network's top {self.top_k}"
        return f"{what}; mean over {'pairs' if protocol.average == 'pair' else 'classes'}{top}"

    def values(self, rows: pd.DataFrame) -> np.ndarray:
        """(n,) float64: one value a row. NaN in all of them: the measure does not exist for this method.

        A constant map has no highest point: a miss. A map without positive mass has no energy in the region: 0.
        """
        if self.measure == "hit":
            near = rows["inside"] if self.protocol.hit == "inside" else rows["distance"] < self.protocol.tolerance
            return (near & ~rows["constant"]).to_numpy(float)
        if self.measure not in rows:
            return np.full(len(rows), np.nan)
        found = rows[self.measure].to_numpy(float)
        if self.measure == "energy" and "cover5" in rows:
            has_map = rows["cover5"].notna().to_numpy()
            found = np.where(np.isnan(found) & has_map, 0.0, found)
        return found


@dataclass(frozen=True)
class Changes:
    """What the arguments of a table change in every protocol; None changes nothing."""

    tolerance: float | None = None
    average: str | None = None
    measure: str = "hit"
    top_k: int | None = None

    def applied(self, protocol: Protocol) -> Rule:
        changed = protocol
        if self.tolerance is not None:
            if not self.tolerance > 0:
                raise ValueError(f"a hit is less than the tolerance away, so {self.tolerance:g} px counts nothing")
            changed = replace(changed, hit="tolerance", tolerance=self.tolerance)
        if self.average is not None:
            changed = replace(changed, average=self.average)
        return Rule(changed, label_of(changed), self.measure, self.top_k)


def label_of(protocol: Protocol) -> str:
    """The protocol's name, and in brackets how it differs from the file of that name: nothing is mixed in silence."""
    try:
        usual = named_protocol(protocol.name)
    except FileNotFoundError:
        return protocol.name
    told = [f"{name}={_plain(value)}" for name, value in _differences(asdict(protocol), asdict(usual))]
    return f"{protocol.name} [{', '.join(told)}]" if told else protocol.name


def _differences(protocol: dict, usual: dict):
    scoring = {name: value for name, value in protocol.items() if name != "input"}
    if scoring["hit"] == "inside":  # the tolerance is not looked at
        scoring["tolerance"] = usual["tolerance"]
    flat = scoring | {f"input.{name}": value for name, value in protocol["input"].items()}
    known = usual | {f"input.{name}": value for name, value in usual["input"].items()}
    return [(name, value) for name, value in flat.items() if value != known[name]]


def _plain(value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def rules_of(run: Run, changes: Changes) -> list[Rule]:
    """The rules of the protocols that a run was asked under, as run.json lists them."""
    rules = []
    for name in run.info["protocols"]:
        asked = run.info["config"].get("protocol") or {}
        protocol = Protocol.from_settings(asked) if asked.get("name") == name else named_protocol(name)
        if run.model is not None and asdict(protocol.input) != run.info["identity"]["input"]:
            protocol = replace(protocol, input=type(protocol.input)(**run.info["identity"]["input"]))
        rules.append(changes.applied(protocol))
    return rules


def fits(run: Run, protocol: Protocol) -> bool:
    """Whether the run's network saw what the protocol prescribes, so that it can be scored by its rules."""
    return run.model is None or run.info["identity"]["input"] == asdict(protocol.input)
