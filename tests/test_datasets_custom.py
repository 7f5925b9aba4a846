"""The example of docs/howto/data.md is a data set: it runs as it stands, and what is wrong is named."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from eval.game.sample import Sample
from eval.records.rows import read_rows
from eval.running.config import EXPECTED, load
from eval.running.job import evaluate_job

HOWTO = Path(__file__).parents[1] / "docs" / "howto" / "data.md"


@pytest.fixture
def data(tmp_path, monkeypatch):
    (code,) = re.findall(r"^```python\n# mydata\.py\n(.*?)^```$", HOWTO.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (tmp_path / "mydata_example.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (60, 40)).save(tmp_path / name)
    return tmp_path


def evaluate(folder, boxes):
    (folder / "boxes.csv").write_text("picture,class,x0,y0,x1,y1\n" + boxes, encoding="utf-8-sig")
    settings = ["dataset=custom", "dataset.build._target_=mydata_example.Boxes", f"+dataset.build.root={folder}"]
    evaluate_job(load([*settings, "dataset.name=mine", "method=center", f"results={folder / 'results'}"]))
    return {(r["key"], r["label"]): r["inside"] for f in folder.glob("results/records/*") for r in read_rows(f)}


def test_the_example_runs(data):
    actual = evaluate(data, "b.jpg,dog,20,10,40,30\na.png,cat,0,0,10,10\nb.jpg,cat,31,0,60,40\n")
    assert actual == {("a", "cat"): False, ("b", "dog"): True, ("b", "cat"): False}


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ("a.png,cat,0,0,1_0,10\n", r"boxes\.csv, a\.png, box 1 is '1_0', no number"),
        ("a.png,cat,0,0,100,10\n", r"boxes\.csv, a\.png, box 1: .*leaves the 60 x 40 picture"),
        ("c.png,cat,0,0,10,10\n", r"c\.png does not exist"),
        ("../a.png,cat,0,0,10,10\n", "does not stay inside"),
    ],
)
def test_the_example_refuses_what_it_does_not_understand(data, boxes, said):
    with pytest.raises(EXPECTED, match=said):
        evaluate(data, boxes)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hard": np.array([0, 1])},
        {"hard": np.array(["0", "1"])},
        {"hard": [False, True]},
        {"labels": np.array([0.0, 1.0])},
        {"boxes": np.array([[0.5, 0, 9, 9], [1, 1, 4, 4]])},
    ],
    ids=repr,
)
def test_a_sample_of_another_type_is_named(wrong):
    """hard=[0, 1] as numbers would be taken for positions: ~0 is -1."""
    fields = {"boxes": np.array([[0, 0, 9, 9], [1, 1, 4, 4]]), "labels": np.array([0, 1]), "hard": np.zeros(2, bool)}
    Sample(key="p", size=(10, 10), open=None, **fields)
    with pytest.raises(ValueError, match=f"p: {next(iter(wrong))} must be an array of"):
        Sample(key="p", size=(10, 10), open=None, **fields | wrong)
