"""What must hold of rows, shown without the code that is on trial: regions, journal, locks, seeds."""

import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from eval.files.locks import Held
from eval.game.sample import Sample
from eval.records.rows import Rows, compact, read_rows
from eval.records.schema import TIMING
from eval.running.job import evaluate_job
from eval.running.plan import Plan
from scripts.maintain.chaos.storm import PATIENCE, Process, composed, start


@dataclass(frozen=True)
class Expected:
    """What is known of a pair before any run. boxes: (N,4) x0 y0 x1 y1 of its class, end exclusive. heat:
    (height,width), the map that `storm.wait_and_draw` draws for it, resized."""

    boxes: np.ndarray
    heat: np.ndarray


def expected(dataset: Any, planned: Plan, pictures: int) -> dict[tuple[str, str], Expected]:
    """{(picture, class): Expected} of the first `pictures` pictures."""
    known = {}
    for index, sample, todo in planned.entries:
        if index >= pictures:
            break
        maps = torch.rand(len(todo), 7, 7, generator=torch.Generator().manual_seed(_seed(sample)))
        for pair, drawn in zip(todo, maps, strict=True):
            boxes = sample.boxes[sample.labels == pair.label]
            heat = _stretched(_stretched(drawn.double().numpy(), sample.size[1]).T, sample.size[0]).T
            known[sample.key, dataset.classes[pair.label]] = Expected(boxes, heat)
    return known


def _seed(sample: Sample) -> int:
    # Second implementation of eval.running.method_call.seed_for, for seed=0.
    return int(hashlib.sha256(f"0/{sample.key}".encode()).hexdigest()[:16], 16) // 2


def read(results: Path, method: str) -> list[dict]:
    """The rows of a method's only run; RuntimeError if they cannot be read."""
    (folder,) = results.glob(f"records/*.{method}.*")
    try:
        return read_rows(folder)
    except ValueError as error:
        raise RuntimeError(f"{method}: {error}") from error


def check(name: str, rows: list[dict], there: dict[tuple[str, str], Expected], drawn: bool) -> None:
    """RuntimeError unless the rows are those of all pairs, each with the hit that its boxes give and, where its map was
    drawn, the point that its seed gives."""
    pairs = [(row["key"], row["label"]) for row in rows]
    if sorted(pairs) != sorted(there):
        lost, strange = there.keys() - set(pairs), set(pairs) - there.keys()
        raise RuntimeError(
            f"{name}: {len(rows)} rows of {len(there)} planned pairs: {len(lost)} are missing, {len(strange)} are not "
            f"planned, for example {next(iter(lost or strange), 'one that stands twice')}"
        )
    for row in rows:
        known, point = there[row["key"], row["label"]], (row["x"], row["y"])
        column, line = int(point[0] // 1), int(point[1] // 1)
        hit = any(x0 <= column < x1 and y0 <= line < y1 for x0, y0, x1, y1 in known.boxes.tolist())
        if row["inside"] is not hit or (row["distance"] == 0) is not hit:
            raise RuntimeError(
                f"{name}: the row of {row['key']}, {row['label']} says inside {row['inside']} and distance "
                f"{row['distance']} of the point {point}; by its boxes {known.boxes.tolist()} inside is {hit}"
            )
        if drawn and known.heat[line, column] < known.heat.max() - 1e-9:
            raise RuntimeError(
                f"{name}: the row of {row['key']}, {row['label']} has the point {point}, where the map that its seed "
                f"draws is {known.heat[line, column]:.6f} high and not {known.heat.max():.6f}"
            )
    hits = sum(row["inside"] for row in rows)
    if not 0 < hits < len(rows):
        raise RuntimeError(f"{name}: {hits} of {len(rows)} rows are hits: with all alike the hit rule is not tried")


def _stretched(lines: np.ndarray, length: int) -> np.ndarray:
    """(h,w) -> (length,w), bilinear: second implementation of eval.game.pointing.upscale."""
    place = (np.arange(length) + 0.5) * len(lines) / length - 0.5
    return np.stack([np.interp(place, np.arange(len(lines)), column) for column in lines.T], 1)


def alike(name: str, disturbed: list[dict], calm: list[dict]) -> None:
    """RuntimeError unless both hold the same rows, the timing apart."""
    ours, theirs = ([_untimed(row) for row in rows] for rows in (disturbed, calm))
    if sorted(ours) != sorted(theirs):
        lost, strange = set(theirs) - set(ours), set(ours) - set(theirs)
        raise RuntimeError(
            f"{name}: {len(ours)} rows instead of {len(theirs)}; {len(lost)} are lost or differ, {len(strange)} should "
            f"not be there, for example {next(iter(strange or lost), 'one that stands twice')}"
        )


def _untimed(row: dict) -> str:
    return json.dumps({name: value for name, value in row.items() if name not in TIMING}, sort_keys=True)


def second_writer(overrides: list[str]) -> None:
    """RuntimeError unless a run that is being written refuses a second writer, a shard and a compaction, and, after its
    writer was killed, takes the next one."""
    first = start(evaluate_job, cfg := composed(overrides))
    folder = _first_rows(Path(cfg.results), first)
    rivals: dict[str, Callable] = {
        "a second writer": lambda _: _open(folder, None),
        "a shard": lambda _: _open(folder, (1, 2)),
        "a compaction": lambda _: _refused(lambda: compact(folder)),
    }
    for who, act in rivals.items():
        rival = start(act, None)
        rival.join(PATIENCE)
        if not first.is_alive():
            raise RuntimeError(f"the writer of {folder.name} ended before {who} came: give more --pictures")
        if rival.exitcode != 1:
            first.kill()
            raise RuntimeError(f"{who} was not refused while {folder.name} is being written")
    first.kill()
    first.join()
    heir = start(rivals["a second writer"], None)
    heir.join(PATIENCE)
    if heir.exitcode != 0:
        raise RuntimeError(f"{folder.name} is refused to a second writer after the first one is dead")


def _first_rows(results: Path, writer: Process) -> Path:
    while writer.is_alive():
        for path in results.glob("records/*/rows.jsonl"):
            if path.stat().st_size:
                return path.parent
        time.sleep(0.01)
    raise RuntimeError("a run ended before it had a row")


def _open(folder: Path, shard: tuple[int, int] | None) -> None:
    def enter() -> None:
        with Rows(folder, shard):
            pass

    _refused(enter)


def _refused(act: Callable) -> None:
    """Exits with 1 if act is refused, with 0 if not, with 2 if something else goes wrong."""
    try:
        act()
    except (Held, RuntimeError) as error:
        os._exit(1 if "written by" in str(error) else 2)
    except BaseException:
        os._exit(2)
    os._exit(0)


def synced(overrides: list[str]) -> None:
    """RuntimeError unless, whenever a picture's rows are acknowledged, the file was synced at its full length and the
    folder since the file is in it."""
    if not inspect.isbuiltin(os.fsync):
        raise RuntimeError("os.fsync is not the system's own")
    trial = start(_watch, composed([*overrides, "sync=picture"]))
    trial.join(PATIENCE)
    if trial.exitcode != 0:
        raise RuntimeError("rows were acknowledged that no fsync has brought to the disk: a power loss would take them")


def _watch(cfg: Any) -> None:
    lengths: dict[int, int] = {}
    sync, append = os.fsync, Rows.append
    acknowledged = 0

    def fsync(file: int) -> None:
        length = os.fstat(file)
        sync(file)
        lengths[length.st_ino] = length.st_size

    def watched(rows: Rows, lines: list[dict]) -> None:
        nonlocal acknowledged
        append(rows, lines)
        state = rows.path.stat()
        if lengths.get(state.st_ino) != state.st_size or rows.folder.stat().st_ino not in lengths:
            os._exit(2)
        acknowledged += 1

    os.fsync, Rows.append = fsync, watched  # type: ignore[method-assign,assignment]  # in a process of its own
    evaluate_job(cfg)
    os._exit(0 if acknowledged == cfg.limit else 3)


def torn(overrides: list[str]) -> int:
    """Cut the file of a finished run inside a picture's rows, at several bytes: of that picture no row may be read, and
    the run, continued, must end in the rows of before. Returns how many cuts; RuntimeError says which one fails."""
    cfg = composed(overrides)
    whole = start(evaluate_job, cfg)
    whole.join(PATIENCE)
    (path,) = Path(str(cfg.results)).glob("records/*/rows.jsonl")
    text, rows = path.read_bytes(), read_rows(path.parent)
    lines = text.splitlines(keepends=True)
    keys = [json.loads(line)["key"] for line in lines]
    begin = max((i for i in range(1, len(keys)) if keys[i] == keys[i - 1] != keys[i - 2]), default=0) - 1
    if begin < 0:
        raise RuntimeError("no picture has two rows: give more --pictures")
    key, start_byte = keys[begin], sum(map(len, lines[:begin]))
    first, second = len(lines[begin]), len(lines[begin + 1])
    cuts = [start_byte + part for part in (1, first - 1, first, first + second // 2, first + second - 1)]
    for cut in cuts:
        path.write_bytes(text[:cut])
        if left := [row for row in read_rows(path.parent) if row["key"] == key]:
            raise RuntimeError(
                f"of {key}, whose rows were cut off after {cut - start_byte} bytes, {len(left)} are read"
            )
        again = start(evaluate_job, cfg)
        again.join(PATIENCE)
        if again.exitcode != 0:
            raise RuntimeError(f"a run whose file was cut inside the rows of {key} does not continue")
        alike("torn", read(Path(str(cfg.results)), "waiting"), rows)
    return len(cuts)
