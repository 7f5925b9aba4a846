"""Records folders of any size, in the suite's own format, with seeded rows in place of evaluated ones.

A folder holds the runs of twelve methods on two networks (`settings`: each method with so many), about the pairs of one
data set of 1,000 classes (20 where a run has few rows): 1.4 pairs a picture, 40 % of them difficult. `run.json` holds
the whole config of a run of the suite; rows are encoded by its journal.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

METHODS = (
    "gradcam", "gradcampp", "layercam", "relevancecam", "scorecam", "xgradcam", "hirescam", "ablationcam", "eigencam",
    "integrated_gradients", "occlusion", "gpnncam",
)  # fmt: skip
NETWORKS = ("vgg16", "resnet50")


def names_of(classes: int) -> list[str]:
    """Classes by names like those of WordNet."""
    return [f"n{number * 15485 + 1440764:08d}" for number in range(classes)]


def pairs_of(count: int, classes: int) -> list[dict]:
    """The fields of `count` rows that no method decides: their pairs, 1.4 a picture."""
    names = names_of(classes)
    rng = np.random.default_rng(12345)
    pairs: list[dict] = []
    picture = 0
    while len(pairs) < count:
        picture += 1
        number = min(int(rng.choice(4, p=[0.72, 0.18, 0.08, 0.02])) + 1, count - len(pairs))
        digest = f"{int(rng.integers(2**63)):016x}"
        for label in sorted(rng.choice(classes, number, replace=False)):
            area = round(float(rng.beta(1.2, 3.5)) * 0.98 + 0.001, 6)
            region = f"{int(rng.integers(2**63)):016x}"
            pairs.append({
                "key": f"ILSVRC2012_val_{picture:08d}", "label": names[label], "difficult": bool(rng.random() < 0.4),
                "region": region, "picture": digest, "width": 500, "height": 375, "area": area,
            })  # fmt: skip
    return pairs


def answers(pairs: list[dict], accuracy: float, seed: int) -> list[dict]:
    """Whole rows: one method's answers to the pairs, hit with the given probability."""
    rng = np.random.default_rng(seed)
    count = len(pairs)
    hits = rng.random(count) < accuracy
    energy, x, y = (rng.random(count).round(6).tolist() for _ in range(3))
    distance = np.where(hits, 0, rng.gamma(2, 30, count) + 1).round(3).tolist()
    cover, more = rng.random((count, 3)).round(6).tolist(), rng.random((count, 5)).round(6).tolist()
    score, rank = rng.normal(12, 4, count).round(4).tolist(), rng.geometric(0.7, count).tolist()
    rows = []
    for n, pair in enumerate(pairs):
        row = pair | {"x": round(500 * x[n], 3), "y": round(375 * y[n], 3), "ties": 1, "constant": False}
        row |= {"inside": bool(hits[n]), "distance": distance[n], "energy": energy[n]}
        row |= {f"cover{share}": cover[n][place] for place, share in enumerate((5, 10, 20))}
        row |= dict(zip(("pixel_ap", "iou_best", "iou_area", "gini", "entropy"), more[n], strict=True))
        row |= {"score": score[n], "rank": rank[n] - 1, "seconds": 0.012345, "forwards": 1.0, "memory_mb": None}
        rows.append(row)
    return rows


def make(results: Path, runs: int, rows: int, settings: int = 1, seed: int = 0) -> int:
    """Write runs with `rows` rows in all under results/records; returns how many rows there are."""
    from dataclasses import asdict
    from itertools import groupby

    from eval.files.journal import encoded
    from eval.game.protocol import named_protocol
    from eval.records.provenance import provenance
    from eval.records.run_folder import folder, identity
    from eval.records.schema import SCHEMA
    from eval.running.config import load
    from eval.running.settings import plain

    classes = 1000 if rows // runs > 1000 else 20
    pairs = pairs_of(rows // runs, classes)
    counts = {"all": len(pairs), "diff": sum(pair["difficult"] for pair in pairs)}
    protocol = named_protocol("paper")
    config, made = plain(load(["dataset=demo", "method=gradcam"])), provenance("cpu")
    written = 0
    for number in range(runs):
        network, place = NETWORKS[number % len(NETWORKS)], number // len(NETWORKS)
        method, setting = METHODS[place // settings % len(METHODS)], place % settings
        build = {"_target_": f"baselines.{method}"} | ({"n": setting} if settings > 1 else {})
        who = identity(
            {"name": "imagenet", "build": {"_target_": "eval.datasets.imagenet.ImageNet"}},
            {"name": network, "weights": f"{NETWORKS.index(network):016x}", "outputs": [[i] for i in range(classes)]},
            {"name": method, "blind": False, "build": build},
            asdict(protocol.input),
            seed + place // (settings * len(METHODS)),
        )
        run = folder(results, who)
        run.mkdir(parents=True, exist_ok=True)
        content = answers(pairs, 0.5 + 0.4 * (place % 37) / 37, number)
        content_of_run = {
            "schema": SCHEMA, "dataset": "imagenet", "model": network, "method": method, "label": method.upper(),
            "protocols": [asdict(protocol)], "classes": names_of(classes), "identity": who, "config":
            config, "provenance": made, "resumed": [], "pairs": counts, "unreadable": 0,
        }  # fmt: skip
        (run / "run.json").write_text(
            json.dumps(content_of_run, indent=1), encoding="utf-8"
        )  # no sync: it can be made again
        groups = [list(group) for _, group in groupby(content, key=lambda row: row["key"])]
        (run / "rows.jsonl").write_bytes(b"".join(map(encoded, groups)))
        written += len(content)
    return written
