"""Finished or unfinished runs read back from disk: their rows as a frame, and names that tell them apart."""

import functools
import json
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from eval.protocol import Protocol
from eval.records import read_failures, read_rows


@dataclass(eq=False)
class Run:
    """One folder of rows with its run.json.

    info: run.json. variant: the settings that tell this run from others of the same method on the same data, e.g.
    "n=5"; empty where there is no other. Rows are read at first use.
    """

    folder: Path
    info: dict
    variant: str = field(default="", compare=False)

    @property
    def dataset(self) -> str:
        return self.info["dataset"]

    @property
    def model(self) -> str | None:
        """None: a method that looks at neither network nor pixels."""
        return self.info["model"]

    @property
    def method(self) -> str:
        """The method's name, with the variant where there is more than one: "gpnncam [n=5]"."""
        return self._varied(self.info["method"])

    @property
    def label(self) -> str:
        """The same for readers: "GPNN-CAM [n=5]"."""
        return self._varied(self.info.get("label") or self.info["method"])

    def _varied(self, name: str) -> str:
        return f"{name} [{self.variant}]" if self.variant else name

    @property
    def usual_network(self) -> bool:
        """Whether the network is the one that the model's name means for this data set, so that published numbers
        of that name are about it: not, for example, an ImageNet network asked about VOC."""
        model, dataset = self.info["config"].get("model") or {}, self.info["config"].get("dataset") or {}
        return model.get("class_map") is None and model.get("variant") in (None, dataset.get("domain"))

    @functools.cached_property
    def rows(self) -> pd.DataFrame:
        """All rows, one line per (picture, class), in the fields of eval/runner.py; ValueError for a damaged file."""
        return frame(read_rows(self.folder), self.folder)

    @functools.cached_property
    def failures(self) -> dict[str, str]:
        """{picture: message} of the pictures that failed and have no row since."""
        return read_failures(self.folder)


COLUMNS = ("key", "label", "difficult", "inside", "distance", "constant", "energy", "rank", "forwards", "seconds")


def frame(rows: list[dict], origin) -> pd.DataFrame:
    """Rows as a frame; ValueError if a field that every row must have is missing."""
    if not rows:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.DataFrame(rows)
    missing = [name for name in COLUMNS if name not in table]
    if missing:
        raise ValueError(f"{origin}: the rows have no field {', '.join(missing)}")
    for name in ("difficult", "inside", "constant"):
        table[name] = table[name].astype(bool)
    numbers = [name for name in table if name in ("energy", "rank") or name.startswith("cover")]
    return table.astype(dict.fromkeys(numbers, float))


def load_runs(records: Path) -> list[Run]:
    """All runs in a folder, e.g. results/records. FileNotFoundError if there is none."""
    found = [load_run(path.parent) for path in sorted(records.glob("*/run.json"))]
    if not found:
        raise FileNotFoundError(f"{records} holds no run; `python run.py method=... results=DIR` makes DIR/records")
    tell_apart(found)
    return found


def load_run(folder: Path) -> Run:
    path = folder / "run.json"
    try:
        info = json.loads(path.read_text(encoding="utf-8"))
        for name in ("dataset", "model", "method", "protocols", "pairs", "classes", "identity", "config"):
            info[name]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path} is damaged: {error!r}") from None
    return Run(folder, info)


def tell_apart(runs: list[Run]) -> None:
    """Set `variant` of runs that would bear the same name, by the settings in which they differ.

    A method's settings are compared over all data sets and networks, so that a variant has the same name everywhere;
    other settings among the runs of one data set, network and input.
    """
    for run in runs:
        run.variant = ""
    methods, places = {}, {}
    for run in runs:
        methods.setdefault(run.info["method"], []).append(run)
        place = run.dataset, run.model, run.info["method"], json.dumps(run.info["identity"]["input"])
        places.setdefault(place, []).append(run)
    for group in methods.values():
        _name(group, [{"method": run.info["identity"]["method"]} for run in group])
    for group in places.values():
        names = ("dataset", "model", "seed")
        _name(group, [{name: run.info["identity"][name] for name in names} for run in group])


def _name(group: list[Run], settings: list[dict]) -> None:
    flat = [dict(_flat(each)) for each in settings]
    names = sorted({name for each in flat for name in each})
    for name in names:
        if len({json.dumps(each.get(name)) for each in flat}) > 1:
            for run, each in zip(group, flat, strict=True):
                told = f"{_short(name, names)}={_value(each.get(name))}"
                run.variant += f", {told}" if run.variant else told


def _flat(settings, prefix: str = ""):
    if isinstance(settings, dict) and settings:
        for name, value in settings.items():
            yield from _flat(value, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, settings


def _short(name: str, names: list[str]) -> str:
    """The shortest ending of a dotted name that no other setting of the method shares."""
    parts = name.split(".")
    for count in range(1, len(parts)):
        ending = "." + ".".join(parts[-count:])
        if sum(other.endswith(ending) for other in names) == 1:
            return ending[1:]
    return name


def _value(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def named_protocol(name: str, folder: Path | None = None) -> Protocol:
    """The protocol conf/protocol/NAME.yaml; FileNotFoundError lists those that exist."""
    import yaml

    folder = folder or Path(__file__).resolve().parent.parent / "conf" / "protocol"
    path = folder / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(other.stem for other in folder.glob("*.yaml")))
        raise FileNotFoundError(f"there is no protocol {name!r}; known are {known}")
    return Protocol.from_settings(yaml.safe_load(path.read_text(encoding="utf-8")))
