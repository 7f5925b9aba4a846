"""Runs: what identifies one, where its rows lie, what is written beside them."""

import json
from pathlib import Path

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
    """Write run.json: what made the rows and how many there will be. `protocols` collects those it was asked under."""
    path = run / "run.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    protocols = sorted({*known.get("protocols", []), protocol})
    if known and known["protocols"] == protocols and known["pairs"] == pairs:
        return
    content = {
        "dataset": who["dataset"]["name"],
        "model": who["model"] and who["model"]["name"],
        "method": who["method"]["name"],
        "label": who["method"].get("label") or who["method"]["name"],
        "protocols": protocols,
        "pairs": pairs,
        "classes": list(classes),
        "identity": who,
        "config": config,
        "provenance": provenance(device),
    }
    write_json(path, content)


def find(results: Path) -> list[dict]:
    """run.json of every run under results/records, each with its `folder` (Path) added; in the order of their names."""
    found = []
    for path in sorted((results / "records").glob("*/run.json")):
        try:
            found.append(json.loads(path.read_text(encoding="utf-8")) | {"folder": path.parent})
        except ValueError as error:
            raise ValueError(f"{path} is damaged: {error}") from None
    return found
