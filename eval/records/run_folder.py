"""Runs: what identifies one, where its rows lie, what is written beside them."""

import json
import re
from pathlib import Path
from typing import Any

from eval.files.locks import Lock
from eval.files.parsed import once
from eval.records.provenance import provenance
from eval.records.rows import digest, write_json
from eval.records.schema import SCHEMA

LONGEST = 80  # characters of a name: three and a digest stay within a file system's 255 bytes


def identity(
    dataset: dict, model: dict | None, method: dict, pixels: dict | None, seed: int, device: str | None = None
) -> dict:
    """What decides a run's rows, as plain values: two runs with equal identity have equal rows.

    dataset, method: name, settings without places, code or version. model: the same with a digest of the weights.
    pixels: the protocol's input. device: "cpu", "cuda", as their searches and sums differ. These three are None for a
    method that reads no network (eval/running/identity.py).
    """
    return {
        "schema": SCHEMA, "dataset": dataset, "model": model, "method": method, "input": pixels, "device": device,
        "seed": seed,
    }  # fmt: skip


def folder(results: Path, who: dict) -> Path:
    """results/records/<dataset>.<model>.<method>.<digest>, its names escaped so that they stay one folder's name."""
    names = [who["dataset"]["name"], *([who["model"]["name"]] if who["model"] else []), who["method"]["name"]]
    return results / "records" / ".".join([*map(escaped, names), digest(who)])


def escaped(name: str) -> str:
    """A name as part of a folder's: whatever is no letter, digit or one of _ + - . becomes %XX of its UTF-8 bytes."""
    return re.sub(r"[^\w+.-]|^\.", lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), name)


def describe(
    run: Path,
    who: dict,
    config: dict,
    protocol: dict,
    pairs: dict[str, int],
    unreadable: int,
    classes: list[str],
    device: str,
    label: str | None = None,
) -> None:
    """Write run.json: what made the rows and how many there will be.

    `protocols` collects the rules under which the run was started; `config` and `provenance` are those of its first
    start. `resumed` holds the provenance of later starts, those aside that differ from an earlier one in the date
    alone. pairs: by subset. unreadable: pictures whose annotation cannot be read, so that nobody knows their pairs.
    Shards may start at the same moment.
    """
    path = run / "run.json"
    with Lock(run / ".run.lock", str(path), wait=60):
        for leftover in run.glob(".run.json.*"):
            leftover.unlink()
        known = read(path) if path.exists() else None
        now = provenance(device)
        before = json.dumps(known)
        if known is None:
            known = {
                "schema": SCHEMA,
                "dataset": who["dataset"]["name"],
                "model": who["model"] and who["model"]["name"],
                "method": who["method"]["name"],
                "protocols": [],
                "classes": classes,
                "identity": who,
                "config": config,
                "provenance": now,
                "resumed": [],
            }
        known |= {"label": label or who["method"]["name"], "pairs": pairs, "unreadable": unreadable}
        if protocol not in known["protocols"]:
            known["protocols"] = sorted([*known["protocols"], protocol], key=json.dumps)
        if all(_undated(now) != _undated(one) for one in (known["provenance"], *known["resumed"])):
            known["resumed"].append(now)
        if json.dumps(known) != before:
            write_json(path, known)


def _undated(made: dict) -> dict:
    return {key: value for key, value in made.items() if key != "date"}


KINDS: dict[str, Any] = {
    "dataset": str, "model": str | None, "method": str, "label": str, "protocols": list, "pairs": dict,
    "unreadable": int, "classes": list, "identity": dict, "config": dict, "provenance": dict, "resumed": list,
}  # fmt: skip


REMEDY = "remove the folder (python -m scripts.runs remove) or put run.json back from a copy"


def read(path: Path) -> dict:
    """A run.json. ValueError says what is wrong with it and what helps."""
    try:
        info = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=once)
    except FileNotFoundError:
        raise ValueError(f"{path.parent} has no run.json, so nobody knows what made its rows; {REMEDY}") from None
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}; {REMEDY}") from None
    return checked(info, path)


def checked(info: object, path: Path) -> dict:
    """The content of a run.json, once it has what every one has; ValueError names `path`."""
    version = info.get("schema") if isinstance(info, dict) else None
    if isinstance(info, dict) and "identity" in info and version != SCHEMA:
        raise ValueError(
            f"{path} is of version {version or 1} of the rows, this program reads version {SCHEMA}: the same command "
            "evaluates them anew, in a folder beside; remove the old one (python -m scripts.runs remove)"
        )
    for name, kind in KINDS.items():
        if not isinstance(info, dict) or name not in info or not isinstance(info[name], kind):
            raise ValueError(f"{path} is damaged: it has no valid {name!r}; {REMEDY}")
    assert isinstance(info, dict)  # as KINDS names one key at least
    pairs = info["pairs"]
    if any(type(pairs.get(subset)) is not int or pairs[subset] < 0 for subset in ("all", "diff")):
        raise ValueError(f"{path} is damaged: its pairs are {pairs}; {REMEDY}")
    return info
