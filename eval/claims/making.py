"""A claim from a finished run: what the run knows is not asked, what differs between machines is kept apart."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path, PurePath
from typing import Any

from eval.claims import data, folder, labels, numbers, rows_file
from eval.claims.claim import built_in, run_of
from eval.claims.statement import Statement
from eval.files.places import CONF
from eval.records.loading import Run, load_run

# Parts of a run's config that decide its rows; the others say where it ran and how fast.
OF_DATASET = ("name", "domain", "subset")
OF_MODEL = ("name", "variant", "layouts", "side", "mean", "std", "layers", "outputs", "head")
OF_METHOD = ("name", "label", "blind", "smooth", "input")


def make(place: Path, out: Path, said: Statement, sources: Sequence[Path] = ()) -> Path:
    """Write the claim of the run at `place` under `out`; its folder.

    said: what the author says; label, code and scores are filled in. sources: folders that may hold the run's own
    modules, which are copied. ValueError for an incomplete run, unless said.partial.
    """
    run = load_run(place)
    holds, whole = data.completeness(run)
    if not whole and not said.partial:
        raise ValueError(f"{place}: it holds {holds}; finish the run, or say so: --partial")
    said = replace(said, partial=not whole)
    rows, times, measures = rows_file.packed(run)
    info = canonical(run, measures)
    code, files = _code(info["identity"], said, sources)
    said = replace(said, label=labels.label_of(info), code=code[0], code_value=code[1])
    # From the rows in their canonical order, as whoever verifies has them.
    said = replace(said, scores=numbers.stated(numbers.cells_of(run_of(place, info, rows, times))))
    content = {
        "claim.yaml": said.bytes,
        "rows.parquet": rows,
        "times.parquet": times,
        "run.json": (json.dumps(info, indent=1, ensure_ascii=False, sort_keys=True) + "\n").encode(),
        "environment.txt": environment(run).encode(),
    }
    return folder.write(out, info, content | files)


def canonical(run: Run, measures: list[dict]) -> dict:
    """The run.json of a claim: that of the run without places, hardware, dates and the way the work was divided."""
    info, who = run.info, run.info["identity"]
    made = [info["provenance"], *info["resumed"]]
    kept = [{name: each.get(name) for name in ("versions", "commit", "dirty")} for each in made]
    others = [each for number, each in enumerate(kept) if each not in kept[:number]]
    return {
        "schema": info["schema"],
        **{name: info[name] for name in ("dataset", "model", "method", "label", "protocols", "pairs", "unreadable")},
        "classes": info["classes"],
        "identity": who,
        "config": _config(info["config"], who),
        "provenance": others[0],
        "resumed": others[1:],
        "failures": {key: " ".join(_text(message)) for key, message in sorted(run.failures.items())},
        "measures": measures,
    }


def _text(message: str) -> list[str]:
    """A failure's message, printable, without the folders of the machine that it names."""
    words = ["".join(letter for letter in word if letter.isprintable()) for word in message.split()]
    return [PurePath(word).name or word if "/" in word else word for word in words][:40]


def heads() -> set[str]:
    """The files that conf/model names as heads of its networks, which come with this suite."""
    lines = [line for path in sorted((CONF / "model").glob("*.yaml")) for line in path.read_text("utf-8").splitlines()]
    return {line.split()[1] for line in lines if line.startswith("head: ")}


def _config(config: dict, who: dict) -> dict:
    dataset, model = config.get("dataset") or {}, config.get("model") or {}
    kept: dict[str, Any] = {
        "dataset": {name: dataset[name] for name in OF_DATASET if name in dataset} | {"build": who["dataset"]["build"]},
        "protocol": config.get("protocol"),
        "seed": who["seed"],
        "method": {name: (config.get("method") or {}).get(name) for name in OF_METHOD}
        | {"name": who["method"]["name"], "blind": who["method"].get("blind", False), "build": who["method"]["build"]},
        "model": None,
    }
    if config.get("method", {}).get("name") != who["method"]["name"]:  # a companion of the config's method
        own: dict = next(
            (o for o in (config.get("companions") or {}).values() if o["name"] == who["method"]["name"]), {}
        )
        kept["method"] |= {name: own.get(name) for name in OF_METHOD if name in own}
    if who["model"]:
        used = (model.get("variants") or {}).get(model.get("variant"), {}) | model
        class_map = model.get("class_map")
        kept["model"] = {name: used[name] for name in OF_MODEL if used.get(name) is not None}
        if kept["model"].get("head") not in heads():  # a file of the author's own is a place
            kept["model"].pop("head", None)
        kept["model"] |= {"build": who["model"].get("build", {}), "name": who["model"]["name"]}
        kept["model"]["class_map"] = PurePath(class_map).name if isinstance(class_map, str) else class_map
    return kept


def _code(who: dict, said: Statement, sources: Sequence[Path]) -> tuple[tuple[str, str], dict[str, bytes]]:
    """((kind, value) of the code behind the rows, the files that are copied)."""
    if built_in(who):
        return ("built in", ""), {}
    if said.code in ("git", "requirement") and said.code_value:
        return (said.code, said.code_value), {}
    digests = {
        name: digest
        for part in ("dataset", "model", "method")
        for name, digest in (who[part] or {}).get("code", {}).items()
    }
    modules = {name: digest for name, digest in digests.items() if re.fullmatch("[0-9a-f]{16}", str(digest))}
    if modules:
        found = (source(name, digest, sources) for name, digest in sorted(modules.items()))
        return ("file", ""), {f"{folder.CODE}/{path}": text for path, text in found}
    packages = {str(each) for each in digests.values() if " " in str(each) and not str(each).startswith("version ")}
    return ("requirement", ", ".join(sorted(each.replace(" ", "==") for each in packages))), {}


def source(module: str, digest: str, places: Sequence[Path]) -> tuple[str, bytes]:
    """(path, content) of a module's file, the one that the run was made with; nothing is imported."""
    stem = module.replace(".", "/")
    for place in (*places, *map(Path, sys.path)):
        for path in (f"{stem}.py", f"{stem}/__init__.py"):
            if (place / path).is_file() and sha256(text := (place / path).read_bytes()).hexdigest()[:16] == digest:
                return path, text
    raise ValueError(
        f"the module {module} that the run was made with (digest {digest}) lies nowhere here, or was edited since: "
        "--source DIR names its folder, --code https://HOST/NAME@COMMIT or --code NAME==VERSION where others find it"
    )


def environment(run: Run) -> str:
    """environment.txt: the machine and its packages, of the run and of this call."""
    made = [run.info["provenance"], *run.info["resumed"]]
    packages = sorted({f"{each.name}=={each.version}" for each in importlib.metadata.distributions() if each.name})
    lines = [
        *(f"run: {each.get('hardware')}, started {each.get('date')}" for each in made),
        f"claim: {platform.system()} {platform.machine()}, {os.cpu_count()} cores, python {platform.python_version()}, "
        f"{datetime.now(UTC).isoformat(timespec='seconds')}",
        "",
        *packages,
    ]
    return "\n".join(lines) + "\n"
