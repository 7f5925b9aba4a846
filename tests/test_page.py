"""The page of all tables of a data set: its parts hold the pairs that their titles say."""

import re

import numpy as np
import pandas as pd
import pytest

from scripts import page
from scripts.page import main
from tests.synthetic_runs import SQUASHED, rows, write_run

HEAD = {"dataset": {"name": "pascal", "domain": "voc"}, "model": {"name": "lite0", "head": "h", "side": 240}}


@pytest.fixture
def written(tmp_path):
    """Two methods whose pairs have areas and scores of every kind; LayerCAM on the first half alone."""
    rng = np.random.default_rng(3)
    lines_of = {
        name: rows(24, share, number) for number, (name, share) in enumerate((("gradcam", 0.3), ("gpnncam", 0.7)))
    }
    for lines in zip(*lines_of.values(), strict=True):
        seen = {"area": round(float(rng.choice([0.02, 0.05, 0.1, 0.2, 0.6, 1.0])), 3), "score": float(rng.normal())}
        for line in lines:
            line |= seen
    for name, lines in lines_of.items():
        write_run(tmp_path, name, lines, model="lite0", source=SQUASHED | {"side": 240}, config=HEAD)
    all_of_them = {"all": len(lines_of["gpnncam"]), "diff": sum(line["difficult"] for line in lines_of["gpnncam"])}
    some = {"pairs_in_all": all_of_them, "config": HEAD}
    begun = lines_of["gradcam"][: sum(line["key"] < "000012" for line in lines_of["gradcam"])]
    write_run(tmp_path, "layercam", begun, model="lite0", source=SQUASHED | {"side": 240}, **some)
    write_run(tmp_path, "center", rows(24, 0.5, 8, blind=True), model=None)
    return tmp_path / "records", {name: pd.DataFrame(lines) for name, lines in lines_of.items()}


def test_every_part_counts_its_own_pairs(written, capsys):
    records, frames = written
    assert main(["--records", str(records), "--data", "pascal", "--resamples", "50"]) == 0
    page = capsys.readouterr().out
    parts = {part.partition("\n")[0]: part for part in re.split("^## ", page, flags=re.MULTILINE)[1:]}
    ours, theirs = frames["gpnncam"], frames["gradcam"]
    kept = {
        "paper, all pairs": ours["x"] > 0,
        "paper, difficult pairs": ours["difficult"],
        "paper, pairs whose class the network finds (score above 0)": ours["score"] > 0,
        "paper, pairs whose class is in the network's top 1": ours["rank"] < 1,
        "paper, objects of 0% to 5% of the picture": ours["area"] <= 0.05,
        "paper, objects of 5% to 20% of the picture": (ours["area"] > 0.05) & (ours["area"] <= 0.2),
        "paper, objects of 20% to 100% of the picture": ours["area"] > 0.2,
    }
    for title, at in kept.items():
        line = next(line for line in parts[f"Against gradcam: {title}"].splitlines() if "GPNNCAM" in line)
        cells = [cell.strip() for cell in line.split("|")]
        where = 4 if cells[2] == "paper" else 5
        assert cells[where] == str(at.sum()), title
        change = 100 * (ours["inside"][at].mean() - theirs["inside"][at].mean())
        assert (
            abs(float(re.search(r": ([+−±][\d.]+)", cells[where + 1])[1].translate({8722: "-", 177: ""})) - change)
            < 0.051
        )
    assert "† " in parts["pascal, protocol paper (the highest point is inside): % of pairs hit [95 % interval]"]
    near = 100 * ((ours["distance"] < 15) & ~ours["constant"]).mean()
    assert page.count("exchange test") == 1  # the rule of all tables is said once
    assert page.count("Holm: corrected for") == len(parts) - 3
    assert f"{near:.1f} [" in parts["pascal, protocol authors (less than 15 px away): % of pairs hit [95 % interval]"]


def test_a_data_set_without_rows_is_named(written, capsys):
    assert main(["--records", str(written[0]), "--data", "coco"]) == 1
    assert "no run of the data set 'coco'" in capsys.readouterr().err


def test_runs_of_another_input_are_named_and_reliability_reads_them(written, capsys):
    from scripts.reliability.__main__ import main as reliability
    from scripts.table import main as table

    records = ["--records", str(written[0])]
    assert table([*records, "--protocol", "paper", "--resamples", "0"]) == 0
    left = [line for line in capsys.readouterr().err.splitlines() if line.startswith("left out: ")]
    assert len(left) == 3
    assert all("saw another input than that of paper" in line for line in left)
    assert not any("center" in line for line in left)
    assert reliability([*records, "--measures", "hit", "--splits", "2", "--resamples", "20"]) == 0
    assert "pascal with lite0; 3 methods" in capsys.readouterr().out


def test_rows_of_which_none_is_kept_are_an_empty_table():
    """A run that has just begun has no object of some size: an empty group of keys is text to pandas."""
    some = pd.DataFrame({"key": ["a", "a"], "area": [0.1, 0.5], "seconds": [1.0, 3.0], "forwards": [2.0, 2.0]})
    assert len(page._kept(some, lambda each: each["area"] > 1)) == 0
    (left,) = page._kept(some, lambda each: each["area"] > 0.2).itertuples()
    assert (left.seconds, left.forwards) == (4.0, 4.0), "the pair that is left bears its picture's whole price"
