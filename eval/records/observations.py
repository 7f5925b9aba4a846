"""What a measure that needs the network observed about a run's rows: a folder beside them, written like a run's.

    DIR/<run>/measures/<name>.<digest>/measure.json    name, settings, version, fields: what made the observations
    DIR/<run>/measures/<name>.<digest>/rows.jsonl      a JSON line a (picture, class), in the files of a run's rows

Another setting or version of a measure is another folder, so observations never mix, and adding some touches no other.
"""

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from eval.files import journal
from eval.files.locks import Lock
from eval.files.parsed import once
from eval.records.provenance import provenance
from eval.records.rows import digest, read_failures, read_rows, write_json
from eval.records.run_folder import escaped

OWN = ("key", "label", "x", "y", "seconds", "forwards")  # fields of every observation, beside the measure's
JOINED = {"seconds": "measure_seconds", "forwards": "measure_forwards"}  # the row's own are the method's price


@dataclass(eq=False)
class Observations:
    """One measure's observations of one run. info: measure.json."""

    folder: Path
    info: dict

    @property
    def name(self) -> str:
        """The measure's name."""
        return self.info["name"]

    @property
    def part(self) -> dict:
        """What decides the observations beside the run: name, settings, version; alike for all runs."""
        return self.info["identity"]

    @property
    def network(self) -> str | None:
        """The network that the measure read for a method that reads none; None: the run's own."""
        return self.info["network"] and self.info["network"]["name"]

    @functools.cached_property
    def lines(self) -> pd.DataFrame:
        """A line a (picture, class): OWN and the measure's fields. ValueError for a damaged file."""
        return frame(read_rows(self.folder), self.info["fields"], self.folder)

    @functools.cached_property
    def failures(self) -> dict[str, str]:
        """{picture: why it has no observation}."""
        return read_failures(self.folder)


def written(part: dict) -> str:
    """A measure's name, settings and version as one text, equal where they are equal."""
    return json.dumps(part, sort_keys=True, separators=(",", ":"))


def folder(run: Path, part: dict, network: dict | None) -> Path:
    """Where the observations of a measure lie; part: see `Observations.part`; network: its identity, for a method that
    reads none."""
    return run / "measures" / f"{escaped(part['name'])}.{digest(part | ({'network': network} if network else {}))}"


def describe(place: Path, part: dict, network: dict | None, fields: list[str], device: str) -> None:
    """Write measure.json, unless it is there. Shards may start at the same moment."""
    path = place / "measure.json"
    journal.make_folder(place)
    with Lock(place / ".measure.lock", str(path), wait=60):
        if not path.exists():
            content = {"name": part["name"], "identity": part, "network": network, "fields": fields}
            write_json(path, content | {"provenance": provenance(device)})


def of_run(run: Path) -> list[Observations]:
    """All observations beside a run's rows. ValueError names a folder that cannot be read."""
    parts = []
    for path in sorted((run / "measures").glob("*/")):
        if (path / "measure.json").exists() or any(path.glob("rows*")):  # nothing else: killed before it was described
            parts.append(Observations(path, _read(path / "measure.json")))
    return parts


KINDS: dict[str, Any] = {"name": str, "identity": dict, "network": dict | None, "fields": list, "provenance": dict}
REMEDY = "remove the folder, and the same command observes anew"


def _read(path: Path) -> dict:
    try:
        info = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read: {error}; {REMEDY}") from None
    for name, kind in KINDS.items():
        if not isinstance(info, dict) or not isinstance(info.get(name), kind) or name not in info:
            raise ValueError(f"{path} is damaged: it has no valid {name!r}; {REMEDY}")
    return info


def frame(lines: list[dict], fields: list[str], origin: object) -> pd.DataFrame:
    """Observations as a frame; ValueError names a line with other fields than a measure's `fields` and OWN."""
    names = {*OWN, *fields}
    for line in lines:
        # Parquet returns None for a field that was None: the field is present all the same.
        if line.keys() != names:
            odd = sorted(line.keys() ^ names)
            raise ValueError(f"{origin}: the observation of {line['key']}, {line['label']} and measure.json do not "
                             f"agree about {odd[0]!r}; {REMEDY}")  # fmt: skip
    return pd.DataFrame(lines, columns=[*OWN, *fields])


def joined(rows: pd.DataFrame, observed: pd.DataFrame, origin: object) -> pd.DataFrame:
    """The rows that were observed, with the observations' fields; their price is measure_seconds, measure_forwards.

    ValueError where an observation is about another map than the row: its point lies elsewhere.
    """
    both = rows.merge(observed.rename(columns=JOINED | {"x": "_x", "y": "_y"}), on=["key", "label"], how="inner")
    for lost in observed[~pd.MultiIndex.from_frame(observed[["key", "label"]]).isin(
        pd.MultiIndex.from_frame(rows[["key", "label"]]))].itertuples():  # fmt: skip
        raise ValueError(
            f"{origin} has an observation of {lost.key}, {lost.label}, which the run has no row of; {REMEDY}"
        )
    moved = both[(both["x"] != both["_x"]) | (both["y"] != both["_y"])]
    if len(moved):
        first = moved.iloc[0]
        raise ValueError(
            f"{origin}: the observation of {first['key']}, {first['label']} is about a map whose point is "
            f"({first['_x']:g}, {first['_y']:g}), the row's is ({first['x']:g}, {first['y']:g}); {REMEDY}"
        )
    return both.drop(columns=["_x", "_y"])
