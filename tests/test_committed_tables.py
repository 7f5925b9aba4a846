"""The tables in results/tables are what the committed code, networks and pictures give: a small one is made again."""

from pathlib import Path

import pandas as pd
import pytest

from eval.running.config import load
from eval.running.job import evaluate_job
from scripts.table import main as table

TABLES = Path(__file__).parents[1] / "results" / "tables"
PICTURES = 24  # results/tables/README.md has the command

COUNTS = ["n", "rows", "pairs", "complete", "failed", "constant", "forwards"]


def test_the_small_table_comes_out_again(tmp_path, capsys):
    committed = pd.read_csv(TABLES / "demo_small.csv", keep_default_na=False)
    for method in committed["method"].unique():
        (model,) = committed["model"].unique()
        settings = [f"method={method}", f"model={model}", "dataset=demo", f"limit={PICTURES}", "compare=false"]
        assert evaluate_job(load([*settings, f"results={tmp_path}", "device=cpu", "workers=0"])).failed == []
    capsys.readouterr()
    table(["--records", str(tmp_path / "records"), "--format", "csv"])
    (tmp_path / "again.csv").write_text(capsys.readouterr().out)
    again = pd.read_csv(tmp_path / "again.csv", keep_default_na=False)
    assert list(again.columns) == list(committed.columns)
    where = ["dataset", "subset", "model", "method", "protocol", "rule"]
    pd.testing.assert_frame_equal(again[where + COUNTS], committed[where + COUNTS])
    blind = committed["forwards"].astype(float) == 0
    assert blind.any()
    assert not blind.all()
    # Other processors round other, and a peak on the edge of a box may move over it: one pair of leave, with networks.
    for new, old, n, free in zip(again["accuracy"], committed["accuracy"], committed["n"], blind, strict=True):
        assert new == pytest.approx(old, abs=1e-6 if free else 1 / n + 1e-6)


def test_every_table_says_how_it_was_made():
    readme = (TABLES / "README.md").read_text(encoding="utf-8")
    tables = [
        path.name for path in TABLES.iterdir() if path.suffix in (".md", ".csv", ".tex") and path.name != "README.md"
    ]
    assert "demo_small.csv" in tables
    assert [name for name in tables if f"`{name}`" not in readme] == []
