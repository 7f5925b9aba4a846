"""Writes runs in the suite's own format without a network: seeded rows, or real rows of seeded heat maps."""

import io
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from eval.game.protocol import Input, named_protocol
from eval.game.sample import pairs
from eval.measures.map_measures import cases_of, observe
from eval.records import maps, run_folder
from eval.records.rows import Rows

OF_MAPS = ("pixel_ap", "iou_best", "iou_area", "gini", "entropy")
SQUASHED = {"mode": "squash", "side": 224, "antialias": True, "spatial": False, "smooth": 0.0}
TORCHRAY = {"mode": "shorter_side", "side": 224, "antialias": False, "spatial": True, "smooth": 0.02}


def rows(pictures: int, accuracy: float, seed: int = 0, classes: int = 5, blind: bool = False) -> list[dict]:
    """One to three pairs a picture, hit with the given probability; a miss is 1 to 60 px away."""
    rng = np.random.default_rng(seed)
    more = np.random.default_rng([seed, 1])
    content = np.random.default_rng(12345)  # the same pairs for every method
    lines = []
    for number in range(pictures):
        for label in content.choice(classes, content.integers(1, 4), replace=False):
            hit, rank = bool(rng.random() < accuracy), int(content.integers(0, 4))
            row = {"key": f"{number:06d}", "label": f"class{label}", "difficult": bool(content.random() < 0.4)}
            row |= {"x": 3.0, "y": 4.0, "inside": hit, "distance": 0.0 if hit else float(rng.integers(1, 60))}
            row |= {"ties": 1, "constant": False, "energy": None if blind else round(float(rng.random()), 6)}
            row |= {f"cover{p}": None if blind else round(float(rng.random()), 6) for p in (5, 10, 20)}
            row |= {name: None if blind else round(float(more.random()), 6) for name in OF_MAPS}
            row |= {
                "region": "0" * 16,
                "picture": None,
                "area": 0.2,
                "width": 100,
                "height": 80,
                "score": None if blind else 1.5,
            }
            row |= {"rank": None if blind else rank, "forwards": 0 if blind else 2.0}
            lines.append(row | {"seconds": 0.01, "memory_mb": 500})
    return lines


def write_run(
    results: Path,
    method: str,
    content: list[dict],
    dataset: str = "pascal",
    model: str | None = "vgg16",
    protocols=("paper",),
    source: dict | None = None,
    settings: dict | None = None,
    config: dict | None = None,
    pairs_in_all: dict | None = None,
    seed: int = 0,
    weights: str = "0123456789abcdef",
    unasked=(),
    unreadable: int = 0,
) -> Path:
    """A finished run's folder. model None: a blind method. settings: the method's own. pairs_in_all: how many pairs
    the data set has by subset, where not all of them are in `content`. unasked: classes without an output."""
    classes = sorted({row["label"] for row in content})
    outputs = [[] if name in unasked else [index] for index, name in enumerate(classes)]
    who = run_folder.identity(
        {"name": dataset, "build": {"_target_": "eval.datasets.voc.VOC"}},
        model and {"name": model, "weights": weights, "outputs": outputs},
        {"name": method, "blind": model is None, "build": {"_target_": "x.y", **(settings or {})}},
        (source or SQUASHED) if model else None,
        seed,
    )
    folder = run_folder.folder(results, who)
    config = config or {"dataset": {"name": dataset, "domain": "voc"}}
    config.setdefault("model", {"name": model, "class_map": None, "variant": "voc"})
    content = [row for row in content if model is None or row["label"] not in unasked]
    counts = {"all": len(content), "diff": sum(row["difficult"] for row in content)}
    rules = [asdict(named_protocol(name)) for name in protocols]
    with Rows(folder) as out:
        for rule in rules:
            label = method.upper()
            run_folder.describe(folder, who, config, rule, pairs_in_all or counts, unreadable, classes, "cpu", label)
        out.append(content)
    return folder


def rows_of_maps(dataset, folder: Path, sharpness: float, seed: int) -> list[dict]:
    """Rows of blob maps on a 12 x 12 grid near each object, nearer where `sharpness` is higher; the maps lie in the
    place where save_maps=true keeps them."""
    rng = np.random.default_rng(seed)
    lines = []
    grid = torch.stack(torch.meshgrid(torch.arange(12.0), torch.arange(12.0), indexing="ij"))
    for number in range(len(dataset)):
        sample = dataset[number]
        named = list(pairs(sample))
        heats = []
        for pair in named:
            x0, y0, x1, y1 = sample.boxes[sample.labels == pair.label][0]
            centre = np.array([(y0 + y1) / 2 / sample.size[1], (x0 + x1) / 2 / sample.size[0]]) * 12 - 0.5
            centre = torch.tensor(centre + rng.normal(0, 3 / sharpness, 2), dtype=torch.float32)[:, None, None]
            heats.append(torch.exp(-((grid - centre) ** 2).sum(0) / 6))
        if not named:
            continue
        heats = torch.stack(heats)
        labels = [dataset.classes[pair.label] for pair in named]
        maps.save(folder, sample.key, labels, heats.double().numpy())
        regions = [sample.region(pair.label) for pair in named]
        for pair, label, fields in zip(
            named, labels, observe(cases_of(heats.double().numpy(), sample.size, regions)), strict=True
        ):
            row = {"key": sample.key, "label": label, "difficult": pair.difficult} | fields
            row |= {"region": "0" * 16, "picture": None, "area": 0.1, "width": sample.size[0], "height": sample.size[1]}
            row |= {"score": 1.0, "rank": 0}
            lines.append(row | {"forwards": sharpness, "seconds": 0.01 * sharpness**3, "memory_mb": 600})
    return lines


assert set(SQUASHED) == set(Input.__dataclass_fields__)


def printed_frame(script, results, capsys, *arguments, resamples=1000):
    """What `scripts.table` or `scripts.compare` prints about results/records; SystemExit holds its errors."""
    capsys.readouterr()
    records = ["--records", str(results / "records"), "--resamples", str(resamples), "--format", "csv"]
    status = script([*arguments, *records])
    text, errors = capsys.readouterr()
    if status:
        raise SystemExit(errors)
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""])
