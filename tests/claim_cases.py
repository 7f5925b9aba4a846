"""Claims for tests: synthetic ones on VOC2007 test, and careful forgeries of any."""

import contextlib
import functools
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from eval.claims import folder
from eval.datasets import known
from eval.records.schema import FIELDS
from scripts.claim import make, verify
from tests.synthetic_runs import write_run

VOC = {"_target_": "eval.datasets.voc.VOC", "year": 2007, "split": "test"}
PASCAL = {"name": "pascal", "build": VOC}
AUTHOR = ["--author", "A. Author", "--looked-at", "nothing"]


@contextlib.contextmanager
def few_known():
    """The project knows the first pictures of VOC2007 test alone: tests of one line need no 7,013."""
    whole = known.known(PASCAL).pairs
    some = {pair: each for pair, each in whole.items() if pair[0] <= "000300"}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(known, "_pairs", lambda _: some)
        voc_pairs.cache_clear()
        yield
    voc_pairs.cache_clear()


@functools.cache
def voc_pairs() -> pd.DataFrame:
    """Of every known pair a row's fields about the data, with a point inside its region and one outside."""
    lines = []
    for (key, label), pair in sorted(known.known(PASCAL).pairs.items()):
        width, height = pair.size
        x0, y0, x1, y1 = pair.region.boxes[0].tolist()
        corners = [(0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1), (width // 2, height // 2)]
        far = next(((float(x), float(y)) for x, y in corners if not pair.region.contains(x, y)), None)
        lines.append(
            {
                "key": key, "label": label, "difficult": pair.difficult, "region": pair.region.digest,
                "picture": pair.picture, "width": width, "height": height,
                "area": round(pair.region.area / (width * height), 6),
                "in": (float((x0 + x1) // 2), float((y0 + y1) // 2)), "out": far,
                "distance": pair.region.distance(*far) if far else 0.0,
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def voc_rows(accuracy: float, seed: int = 0) -> list[dict]:
    """Rows about all pairs of VOC2007 test, hit with the given probability."""
    pairs, rng = voc_pairs(), np.random.default_rng(seed)
    hits = (rng.random(len(pairs)) < accuracy) | pairs["out"].isna().to_numpy()
    where = np.where(hits, pairs["in"], pairs["out"])
    rows = pairs.drop(columns=["in", "out"]).assign(
        x=[x for x, _ in where], y=[y for _, y in where], ties=1, constant=False, inside=hits,
        distance=np.where(hits, 0.0, pairs["distance"]), energy=rng.random(len(pairs)).round(6),
        cover5=0.1, cover10=0.2, cover20=0.3, score=1.5, rank=0, seconds=0.01, forwards=2.0, memory_mb=None,
    )  # fmt: skip
    rest = {name: None for name in FIELDS if name not in rows}  # of measures that a method of points has no value of
    assert all(FIELDS[name].empty for name in rest)
    return [line | rest for line in rows.astype(object).where(rows.notna(), None).to_dict("records")]


def voc_claim(tmp: Path, method: str = "gradcam", accuracy: float = 0.8, seed: int = 0, more=AUTHOR) -> Path:
    """A claim on VOC2007 test, made by the command."""
    run = write_run(tmp / f"run-{method}-{seed}", method, voc_rows(accuracy, seed))
    return made(claimable(run, method), tmp / "claims", more)


def claimable(run: Path, method: str) -> Path:
    """A synthetic run whose run.json names data, network and method as a real one does."""
    info = json.loads((run / "run.json").read_text())
    info["identity"]["dataset"]["build"] = VOC
    if info["model"]:
        info["identity"]["model"]["build"] = {"_target_": "eval.networks.torchray.vgg16", "classes": "voc"}
    build = {"_target_": "baselines.rise.RISE", "salt": method}
    if method == "gradcam":
        build = {"_target_": "baselines.cam.CAM", "formula": "GradCAM", "fusion": "maximum", "relu": False}
        info["label"] = "GradCAM"
    info["identity"]["method"]["build"] = build
    (run / "run.json").write_text(json.dumps(info))
    return run


def made(run: Path, out: Path, more=AUTHOR) -> Path:
    before = {*out.glob("*")}
    assert make.main([str(run), "--out", str(out), *more]) == 0
    (place,) = {*out.glob("*")} - before
    return place


def resealed(place: Path, out: Path, **files) -> Path:
    """The claim with files replaced, digests and name put right again: what a careful forger does. A file is bytes,
    or a function of the parsed content: of a frame, of JSON, of YAML."""
    content = {
        str(path.relative_to(place)): path.read_bytes()
        for path in place.rglob("*")
        if path.is_file() and path.name != folder.SUMS and "verdicts" not in path.parts
    }
    for stem, change in files.items():
        name = {"rows": "rows.parquet", "times": "times.parquet", "run": "run.json", "claim": "claim.yaml"}[stem]
        content[name] = change if isinstance(change, bytes) else _changed(name, content[name], change)
    if "rows" in files and "times" not in files and not isinstance(files["rows"], bytes):
        count = parquet.read_metadata(io.BytesIO(content["rows.parquet"])).num_rows
        times = parquet.read_table(io.BytesIO(content["times.parquet"]))
        content["times.parquet"] = packed(times.slice(0, count))
    return folder.write(out, json.loads(content["run.json"]), content)


def _changed(name: str, text: bytes, change) -> bytes:
    if name.endswith(".parquet"):
        table = parquet.read_table(io.BytesIO(text))
        frame = change(table.to_pandas())
        return packed(pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False))
    content = json.loads(text) if name.endswith(".json") else yaml.safe_load(text)
    change(content)
    dumped = json.dumps(content) if name.endswith(".json") else yaml.safe_dump(content, sort_keys=False)
    return dumped.encode()


def packed(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def verified(capsys, *arguments) -> tuple[int, dict]:
    """(exit status, what `verify --json` says) of claims and options."""
    capsys.readouterr()
    status = verify.main([*map(str, arguments), "--json"])
    out, err = capsys.readouterr()
    assert out, err
    return status, json.loads(out)


def lines(report: dict, step: str) -> list[tuple[str, str]]:
    """(what, text) of a step's lines in a report on one claim."""
    (only,) = report["claims"]
    return [(line["what"], line["text"]) for line in only["steps"][step]]


def faults(report: dict) -> list[str]:
    """The lines of a report that fail, of all its claims."""
    found = [line for each in report["claims"] for step in each["steps"].values() for line in step]
    return [line["text"] for line in [*found, *report["together"]] if line["what"] == "fails"]


def copied(place: Path, out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copytree(place, out / place.name))
