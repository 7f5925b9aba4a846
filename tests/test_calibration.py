"""The evaluator against published numbers, and against a second implementation that counts pixels.

The image centre needs no network, so its accuracy on VOC2007 test checks everything else: annotations, regions, the
difficult subset, distances, averages. TorchRay publishes 69.6 / 42.4.
"""

import json
import lzma
from collections import defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from eval.running.build import build_dataset
from eval.running.config import load
from eval.running.job import evaluate_job
from eval.running.plan import plan
from scripts.table import main as table
from tests.voc_devkit import random_annotations, write

# Without a network. The first row of each is what TorchRay prints, rounded, as 69.6 / 42.4.
CHECKED = {"torchray": (0.6963, 0.4244), "authors": (0.6990, 0.3839), "paper": (0.6381, 0.2960)}


def center_run(root: Path, results: Path):
    cfg = load(["method=center", "dataset=pascal", f"dataset.root={root}", f"results={results}", "protocol=torchray",
                "sync=second"])  # fmt: skip
    assert evaluate_job(cfg).failed == []
    return cfg


def accuracies(results: Path, protocol: str, capsys) -> dict[str, tuple[int, float]]:
    """{subset: (n, accuracy)} as `python -m scripts.table --format csv` prints them."""
    capsys.readouterr()
    table(["--records", str(results / "records"), "--protocol", protocol, "--format", "csv", "--resamples", "200"])
    text = capsys.readouterr().out
    frame = pd.read_csv(pd.io.common.StringIO(text))
    assert list(frame.columns[:9]) == [
        "dataset", "subset", "model", "method", "protocol", "n", "accuracy", "published", "delta",
    ]  # fmt: skip
    assert set(frame.protocol) == {protocol}
    return {row.subset: (row.n, row.accuracy) for row in frame.itertuples()}


def voc2007_test() -> list[dict]:
    """The boxes of all 4,952 pictures, as facts; the pictures themselves are Flickr's and nobody needs them here."""
    lines = lzma.decompress(Path(__file__).with_name("voc2007_test_boxes.txt.xz").read_bytes()).decode().splitlines()
    entries = []
    for line in lines[1:]:
        picture, *objects = line.split(";")
        key, width, height = picture.split()
        boxes = [(name, tuple(map(int, box)), hard == "1") for name, *box, hard in map(str.split, objects)]
        entries.append({"key": key, "size": (int(width), int(height)), "objects": boxes})
    return entries


def test_the_centre_of_voc2007_gives_the_published_numbers(tmp_path, capsys):
    annotations = voc2007_test()
    assert (len(annotations), sum(len(each["objects"]) for each in annotations)) == (4952, 14976)
    center_run(write(tmp_path, annotations, grey=True), tmp_path / "results")
    for protocol, (everything, difficult) in CHECKED.items():
        actual = accuracies(tmp_path / "results", protocol, capsys)
        assert {subset: n for subset, (n, _) in actual.items()} == {"all": 7013, "diff": 2230}
        assert actual["all"][1] == pytest.approx(everything, abs=5e-5)
        assert actual["diff"][1] == pytest.approx(difficult, abs=5e-5)


def by_counting_pixels(annotations: list[dict]) -> dict:
    """Second implementation: {(key, class): (difficult, inside, distance)} of the centre, by masks alone."""
    hits = {}
    for annotation in annotations:
        width, height = annotation["size"]
        masks = defaultdict(lambda: np.zeros((height, width), bool))  # noqa: B023
        shown = set()
        for name, (x0, y0, x1, y1), hard in annotation["objects"]:
            masks[name][y0 - 1 : y1, x0 - 1 : x1] = True
            if not hard:
                shown.add(name)
        for name in shown:
            rows, columns = np.nonzero(masks[name])
            inside = bool(masks[name][height // 2, width // 2])
            distance = 0.0 if inside else np.hypot(columns - width / 2, rows - height / 2).min()
            difficult = masks[name].mean() < 0.25 and len(shown) > 1
            hits[annotation["key"], name] = difficult, inside, distance
    return hits


def test_a_small_devkit_against_pixel_counting(tmp_path, capsys):
    annotations = random_annotations(60, seed=7)
    center_run(write(tmp_path, annotations), tmp_path / "results")
    expected = by_counting_pixels(annotations)
    (path,) = (tmp_path / "results" / "records").glob("*/rows.jsonl")
    rows = {(r["key"], r["label"]): r for r in map(json.loads, path.read_text().splitlines())}
    assert set(rows) == set(expected)
    for pair, (difficult, inside, distance) in expected.items():
        assert (rows[pair]["difficult"], rows[pair]["inside"]) == (difficult, inside)
        assert abs(rows[pair]["distance"] - distance) <= 0.25

    def accuracy(chosen, hit, average):
        if average == "pair":
            return np.mean([hit(pair) for pair in chosen])
        return np.mean([np.mean([hit(p) for p in chosen if p[1] == c]) for c in sorted({c for _, c in chosen})])

    for protocol, hit, average in (
        ("paper", lambda pair: expected[pair][1], "pair"),
        ("authors", lambda pair: expected[pair][2] < 15, "pair"),
        ("torchray", lambda pair: expected[pair][2] < 15, "class"),
    ):
        actual = accuracies(tmp_path / "results", protocol, capsys)
        for subset, chosen in (("all", list(expected)), ("diff", [p for p in expected if expected[p][0]])):
            assert len(chosen) > 10
            assert actual[subset][0] == len(chosen)
            assert actual[subset][1] == pytest.approx(accuracy(chosen, hit, average), abs=1e-4)


def test_a_difficult_pair_has_another_class_and_a_small_region(tmp_path):
    """The rule by hand: a flagged object of another class does not count; flagged boxes of the class enlarge it."""
    car, dog = ("car", (1, 1, 30, 30), False), ("dog", (50, 50, 60, 60), False)
    pictures = [
        {"key": "both", "size": (100, 100), "objects": [car, dog]},
        {"key": "flagged-other", "size": (100, 100), "objects": [car, (*dog[:2], True)]},
        {"key": "flagged-own", "size": (100, 100), "objects": [car, dog, ("car", (40, 1, 100, 100), True)]},
        {"key": "alone", "size": (100, 100), "objects": [car]},
        {"key": "quarter", "size": (100, 100), "objects": [("car", (1, 1, 50, 50), False), dog]},
        {"key": "only-flagged", "size": (100, 100), "objects": [(*car[:2], True)]},
    ]
    root = write(tmp_path, pictures)
    dataset = build_dataset(load(["dataset=pascal", f"dataset.root={root}"]))
    actual = {
        (s.key, dataset.classes[p.label]): p.difficult for _, s, classes in plan(dataset).entries for p in classes
    }
    assert actual == {
        ("both", "car"): True,
        ("both", "dog"): True,
        ("flagged-other", "car"): False,
        ("flagged-own", "car"): False,
        ("flagged-own", "dog"): True,
        ("alone", "car"): False,
        ("quarter", "car"): False,
        ("quarter", "dog"): True,
    }
