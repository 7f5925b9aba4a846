"""Runs: what identifies one, where its rows lie, what is written beside them."""

import json
from pathlib import Path

from eval.locks import Lock
from eval.provenance import provenance
from eval.records import digest, write_json

# Where data lie and how much of them is asked for changes no row.
PLACES = ("root", "download", "subset", "checkpoint", "cache")


def identity(dataset: dict, model: dict | None, method: dict, source: dict | None, seed: int) -> dict:
    """What decides a run's rows, as plain values: two runs with equal identity have equal rows.

    dataset, model, method: their resolved configs (model with `weights`, a digest of the parameters, so that it
    does not matter where they were loaded from); model and source (the protocol's input) are None for a blind method.
    """
    return {
        "dataset": _without_places(dataset),
        "model": model and _without_places(model),
        "method": _without_places(method),
        "input": source,
        "seed": seed,
    }


def _without_places(settings):
    if isinstance(settings, dict):
        return {key: _without_places(value) for key, value in settings.items() if key not in PLACES}
    return settings


def folder(results: Path, who: dict) -> Path:
    """results/records/<dataset>.<model>.<method>.<digest>"""
    names = [who["dataset"]["name"], *([who["model"]["name"]] if who["model"] else []), who["method"]["name"]]
    return results / "records" / ".".join([*names, digest(who)])


def describe(run: Path, who: dict, config: dict, protocol: str, pairs: dict[str, int], classes, device: str) -> None:
    """Write run.json: what made the rows and how many there will be.

    `protocols` collects those it was asked under; `config` and `provenance` are those of the first start, `resumed`
    holds the provenance of every later one that differs in more than its date. Shards may start at the same moment.
    """
    path = run / "run.json"
    with Lock(run / ".run.lock", str(path), wait=60):
        for leftover in run.glob(".run.json.*"):
            leftover.unlink()
        known = _read(path) if path.exists() else None
        made = provenance(device)
        if known is None:
            known = {
                "dataset": who["dataset"]["name"],
                "model": who["model"] and who["model"]["name"],
                "method": who["method"]["name"],
                "label": who["method"].get("label") or who["method"]["name"],
                "protocols": [],
                "pairs": pairs,
                "classes": list(classes),
                "identity": who,
                "config": config,
                "provenance": made,
                "resumed": [],
            }
            before = None
        else:
            before = json.dumps(known)
        known["protocols"] = sorted({*known["protocols"], protocol})
        known["pairs"] = pairs
        earlier = [known["provenance"], *known.setdefault("resumed", [])]
        if all(_undated(made) != _undated(one) for one in earlier):
            known["resumed"].append(made)
        if json.dumps(known) != before:
            write_json(path, known)


def _undated(made: dict) -> dict:
    return {key: value for key, value in made.items() if key != "date"}


def _read(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def find(results: Path) -> list[dict]:
    """run.json of every run under results/records, each with its `folder` (Path) added; in the order of their names."""
    return [_read(path) | {"folder": path.parent} for path in sorted((results / "records").glob("*/run.json"))]
