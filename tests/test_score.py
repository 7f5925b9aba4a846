"""Rows in Python: scored without files, and read back into one frame."""

import numpy as np
import pandas as pd
import pytest
import torch

from eval.records.schema import FIELDS, TIMING
from eval.running.config import load
from eval.running.job import evaluate_job
from eval.running.score import score
from eval.tables.frame import ORIGIN, frame_of
from tests import pages
from tests.synthetic_runs import rows, write_run

FEW = ("limit=3", "dataset.build.count=6")


def centre(image, targets, classifier):
    maps = torch.zeros(len(targets), 5, 5)
    maps[:, 2, 2] = 1
    return maps


def test_the_rows_are_those_of_a_run(tmp_path):
    assert evaluate_job(load(["method=gradcam", *FEW, f"results={tmp_path}", "compare=false"])).pairs
    (folder,) = (tmp_path / "records").iterdir()
    written = frame_of(folder)
    assert list(written.columns) == [*ORIGIN, *FIELDS]
    assert set(written["method_label"]) == {"GradCAM"}
    mine = score("gradcam", *FEW)
    same = [name for name in FIELDS if name not in TIMING]
    pd.testing.assert_frame_equal(mine[same], written[same])


def test_a_method_with_an_input_of_its_own_answers_about_the_protocols_pairs_at_a_price_by_area(tmp_path):
    """Rank and score say what the network answers, whatever a method looks at; a pass of four times the pixels is 4."""
    usual = score("gradcam", *FEW)
    own = ["method=gradcam", "+method.input.side=448", "+method.input.mode=squash", *FEW]
    assert evaluate_job(load([*own, f"results={tmp_path}", "compare=false"])).pairs
    (folder,) = (tmp_path / "records").iterdir()
    found = frame_of(folder)
    for name in ("score", "rank"):
        np.testing.assert_allclose(found[name], usual[name], rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found["forwards"], 4 * usual["forwards"])
    assert (found[["x", "y"]] != usual[["x", "y"]]).any(axis=None), "it saw the protocol's picture"
    mine = score("gradcam", *own[1:])
    same = [name for name in FIELDS if name not in TIMING]
    pd.testing.assert_frame_equal(mine[same], found[same])


def test_a_named_methods_smoothing_holds_here_too(tmp_path):
    settings = ["method=gradient", "method.smooth=0.1", *FEW]
    assert evaluate_job(load([*settings, f"results={tmp_path}", "compare=false"])).pairs
    (folder,) = (tmp_path / "records").iterdir()
    same = [name for name in FIELDS if name not in TIMING]
    pd.testing.assert_frame_equal(score("gradient", *settings[1:])[same], frame_of(folder)[same])


def test_a_callable_of_ones_own():
    actual = score(centre, *FEW)
    side = actual["width"].iloc[0]
    assert ((actual["x"] - side / 2).abs() <= side / 5).all()
    assert actual["rank"].notna().all()
    assert set(actual["key"]) <= {f"test-{index:06d}" for index in range(3)}

    class Method:
        def __init__(self, classifier):
            self.classifier = classifier

        def __call__(self, image, targets):
            return centre(image, targets, self.classifier).tolist()

    same = [name for name in FIELDS if name not in TIMING]
    pd.testing.assert_frame_equal(score(Method, *FEW)[same], actual[same])


def test_what_cannot_be_scored_says_so():
    with pytest.raises(RuntimeError, match=r"picture test-000000 .*returned None; it must return maps"):
        score(lambda image, targets, classifier: None, *FEW)
    with pytest.raises(ValueError, match="no setting of conf/method applies"):
        score(centre, "method.build.n=3")
    with pytest.raises(ValueError, match="near names: gradcam"):
        score("gradcm")
    with pytest.raises(ValueError, match=r"score.*missing a required argument: 'strength'"):
        score(type("Needs", (), {"__init__": lambda self, classifier, strength: None}), *FEW)


def test_frames_of_many_runs_keep_keys_and_names(tmp_path):
    write_run(tmp_path, "gradcam", rows(10, 0.5), settings={"n": 5})
    write_run(tmp_path, "gradcam", rows(10, 0.6, 1), settings={"n": 20})
    write_run(tmp_path, "center", rows(10, 0.3, 2, blind=True), model=None)
    actual = frame_of(tmp_path / "records")
    assert actual["key"].iloc[0] == "000000", "digits stay a text"
    assert set(actual["method"]) == {"gradcam [n=5]", "gradcam [n=20]", "center"}
    assert actual.groupby("method")["inside"].mean()["gradcam [n=5]"] == pytest.approx(
        pd.DataFrame(rows(10, 0.5))["inside"].mean()
    )
    assert actual["run"].nunique() == 3
    with pytest.raises(FileNotFoundError, match="holds no run"):
        frame_of(tmp_path / "nothing")
    (tmp_path / "records" / "odd").mkdir()
    with pytest.raises(ValueError, match=r"odd: .*no run\.json"):
        frame_of(tmp_path / "records")


def test_the_example_of_the_readme_of_records_runs(tmp_path, monkeypatch):
    write_run(tmp_path / "results", "gradcam", rows(10, 0.5))
    (code,) = pages.blocks(pages.read("eval/records/README.md"), "python")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
