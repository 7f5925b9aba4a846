"""A claim that was read: its folder, its statement, and its rows as a run that tables read like any other."""

from __future__ import annotations

import functools
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.claims import folder, rows_file, statement
from eval.claims.folder import Folder
from eval.claims.statement import Statement
from eval.files.parsed import parsed_json, shown
from eval.files.places import CONF
from eval.records import run_folder
from eval.records.loading import Run
from eval.records.stacked import Batch

# What a claim's run.json has beside that of a run.
MORE = {"failures": dict, "measures": list}


@dataclass(frozen=True)
class Claim:
    """said: claim.yaml. run: the rows, with run.json as its `info`."""

    folder: Folder
    said: Statement
    run: Run

    @property
    def name(self) -> str:
        """Sixteen hex digits of all that the claim says."""
        return self.folder.digest

    @property
    def who(self) -> dict:
        """What decides the rows, see `run_folder.identity`."""
        return self.run.info["identity"]


def load(place: Path) -> Claim:
    """A claim, everything in it checked for its form alone. ValueError names the first thing that no claim has."""
    content = folder.read(place)
    said = statement.read(content.files["claim.yaml"])
    info = read_info(content.files["run.json"], place / "run.json")
    return Claim(content, said, run_of(place, info, content.files["rows.parquet"], content.files["times.parquet"]))


def run_of(place: Path, info: dict, rows: bytes, times: bytes) -> Run:
    """The rows of a claim as a run."""
    frame, observations = rows_file.unpacked(rows, times, info["measures"])
    run = Run(place, info)
    vars(run).update(part=Batch.of(frame).parts()[0], observations=observations, failures=info["failures"])
    return run


def read_info(text: bytes, path: Path) -> dict:
    """A claim's run.json: that of a run, of plain printable values alone."""
    info = parsed_json(text, "run.json")
    _plain(info)
    info = run_folder.checked(info, path)
    known = {"schema", *run_folder.KINDS, *MORE}
    if info.keys() != known or not all(isinstance(info[name], kind) for name, kind in MORE.items()):
        raise ValueError(f"run.json has fields too many or too few: {shown(sorted(info.keys() ^ known))}")
    who = info["identity"]
    try:
        names = who["dataset"]["name"], who["model"] and who["model"]["name"], who["method"]["name"]
        builds = [part["build"] for part in (who["dataset"], who["model"], who["method"]) if part]
        plain = type(who["seed"]) is int and all(isinstance(build, dict) for build in builds)
    except (KeyError, TypeError):
        raise ValueError("run.json has an identity without data set, method and seed") from None
    if not plain or names != (info["dataset"], info["model"], info["method"]):
        raise ValueError(f"run.json names {shown(names)} in its identity and other things beside it")
    for each in info["measures"]:
        if not isinstance(each, dict) or each.keys() != {"name", "identity", "network", "fields"}:
            raise ValueError(f"run.json has the measure {shown(each)}")
        if not isinstance(each["identity"], dict) or not isinstance(each["fields"], list):
            raise ValueError(f"run.json has the measure {shown(each)}")
    if not all(isinstance(message, str) for message in info["failures"].values()):
        raise ValueError("run.json has failures that are no texts")
    return info


def _plain(value: Any) -> None:
    """ValueError for texts that no terminal should print and numbers that are not finite, at any depth."""
    if isinstance(value, str) and not value.isprintable():
        raise ValueError(f"run.json has {value[:80]!a}, which no terminal should print")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"run.json has the number {value}")
    for inner in [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else ():
        _plain(inner)


def targets(settings: Any) -> list[str]:
    """Every callable that settings name under `_target_`, at any depth."""
    if isinstance(settings, dict):
        own = [str(settings["_target_"])] if "_target_" in settings else []
        return own + [name for value in settings.values() for name in targets(value)]
    return [name for value in settings for name in targets(value)] if isinstance(settings, list) else []


@functools.cache
def of_this_suite() -> frozenset[str]:
    """Every callable that a file under conf/ names."""
    # By pattern: YAML's own reader takes half a second for all of them.
    files = (path.read_text(encoding="utf-8") for path in CONF.glob("*/*.yaml"))
    return frozenset(name for text in files for name in re.findall(r"_target_: *([\w.]+)", text))


def built_in(who: dict) -> bool:
    """Whether all code behind the rows is this suite's."""
    return {name for part in ("dataset", "model", "method") for name in targets(who[part])} <= of_this_suite()
