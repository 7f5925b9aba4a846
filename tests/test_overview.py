"""Methods beside each other: who is significantly below the best, seeds as one line, one overview, mean curves."""

import io
import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eval.game.protocol import named_protocol
from eval.records import observations
from eval.records.loading import load_runs, pool, tell_apart
from eval.records.rows import Rows
from eval.tables.cells import table_cells
from eval.tables.overview import overview_markdown, overviews
from eval.tables.paired import like_the_best
from eval.tables.rules import Changes
from eval.tables.statistics import holm
from scripts.compare import main as compare
from scripts.overview import main as overview
from scripts.report.__main__ import main as report
from scripts.table import main as table
from tests.synthetic_runs import printed_frame, rows, write_run

PART = {"name": "deletion", "version": 1, "build": {"_target_": "eval.measures.perturbation.Deletion", "step": 9}}
SANITY = {"name": "randomisation", "version": 1, "build": {"_target_": "eval.measures.randomisation.Randomisation"}}


def observe(folder, content, part, fields):
    """Write observations: fields(row) for every row of `content`."""
    place = observations.folder(folder, part, None)
    lines = [{name: row[name] for name in ("key", "label", "x", "y")} | fields(row) for row in content]
    observations.describe(place, part, None, sorted(fields(content[0])), "cpu")
    with Rows(place) as out:
        out.append([line | {"seconds": 0.5, "forwards": 29.0} for line in lines])


def curve(start, end):
    def fields(row):
        jitter = 0.05 * np.random.default_rng(abs(hash_of(row))).random()
        return {"curve": [round(float(v), 6) for v in np.linspace(start, end, 11) + jitter], "step": 0.1}

    return fields


def hash_of(row):
    return int.from_bytes(f"{row['key']}{row['label']}".encode()[-7:], "big")


def similarity(value):
    return lambda row: {"stages": ["", "a", "b"], "spearman": [1.0, value, 0.0], "ssim": [1.0, value, 0.0],
                        "hog": [1.0, None, None]}  # fmt: skip


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Four methods, one of them twice as often right; deletion and randomisation observed for three."""
    root = tmp_path_factory.mktemp("overview")
    for name, accuracy, seed, deleted, alike in (
        ("gradcam", 0.6, 1, 0.2, 0.1), ("layercam", 0.62, 2, 0.3, 0.2), ("gpnncam", 0.9, 3, 0.4, 0.9)
    ):  # fmt: skip
        content = rows(150, accuracy, seed)
        folder = write_run(root, name, content)
        observe(folder, content, PART, curve(0.9, deleted))
        observe(folder, content, SANITY, similarity(alike))
    write_run(root, "scorecam", rows(150, 0.88, 4))
    return root


def frame(results, capsys, *arguments, of=table):
    return printed_frame(of, results, capsys, *arguments).set_index("method")


def test_who_cannot_be_told_from_the_best_is_marked(results, capsys):
    actual = frame(results, capsys, "--subset", "all")
    assert actual.index[actual.best].tolist() == ["gpnncam"]
    assert actual.index[actual.alike].tolist() == ["scorecam"]
    table(["--records", str(results / "records"), "--subset", "all", "--resamples", "1000"])
    text = capsys.readouterr().out
    assert "</ins> ≈" in text
    assert "≈ not shown to be below the best of its column" in text
    for form in ("html", "latex"):
        table(["--records", str(results / "records"), "--subset", "all", "--resamples", "1000", "--format", form])
        assert ("≈" if form == "html" else "$^\\approx$") in capsys.readouterr().out


def test_the_mark_is_the_exchange_test_at_holms_level(results):
    runs, _ = load_runs(results / "records")
    cells = table_cells(runs, Changes(), subsets=("all",), resamples=0)
    marked = {cell.run.method for cell in like_the_best(cells, 2000)}
    best = next(cell for cell in cells if cell.run.method == "gpnncam")
    generator, values = np.random.default_rng(1), {}
    for cell in cells:
        values[cell.run.method] = pd.Series(cell.values, pd.MultiIndex.from_frame(cell.counted[["key", "label"]]))
    p = {}
    for name in values.keys() - {"gpnncam"}:
        gap = (values["gpnncam"] - values[name]).groupby(level=0).sum().to_numpy()
        drawn = generator.choice([-1, 1], (2000, len(gap))) @ gap
        p[name] = (np.abs(drawn) >= abs(gap.sum()) - 1e-9).mean()
    corrected = holm(list(p.values()))
    assert marked == {name for name, each in zip(p, corrected, strict=True) if each > 0.05}
    assert best.run.method not in marked


def test_equal_methods_are_best_together_and_incomplete_ones_are_not_marked(tmp_path):
    content = rows(60, 0.7, 1)
    write_run(tmp_path, "gradcam", content)
    write_run(tmp_path, "layercam", content)
    write_run(tmp_path, "scorecam", content[:50], pairs_in_all={"all": len(content), "diff": 1})
    runs, _ = load_runs(tmp_path / "records")
    assert like_the_best(table_cells(runs, Changes(), subsets=("all",), resamples=0), 500) == []


def test_runs_of_several_seeds_are_one_line_with_its_spread(tmp_path, capsys):
    contents = [rows(80, accuracy, seed) for seed, accuracy in enumerate((0.5, 0.6, 0.7))]
    for seed, content in enumerate(contents):
        write_run(tmp_path, "gpnncam", content, seed=seed)
    write_run(tmp_path, "gradcam", rows(80, 0.3, 9))
    accuracies = [pd.DataFrame(content).inside.mean() for content in contents]
    actual = frame(tmp_path, capsys, "--subset", "all").loc["gpnncam"]
    assert actual.accuracy == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert (actual.seeds, actual.n, actual.label) == (3, len(contents[0]), "GPNNCAM (3 seeds)")
    assert (actual.seed_low, actual.seed_high) == (pytest.approx(min(accuracies)), pytest.approx(max(accuracies)))
    assert actual.complete
    assert actual.seconds == pytest.approx(pd.DataFrame(contents[0]).groupby("key").seconds.sum().median())
    apart = frame(tmp_path, capsys, "--subset", "all", "--by-seed")
    assert sorted(apart.index) == ["gpnncam [seed=0]", "gpnncam [seed=1]", "gpnncam [seed=2]", "gradcam"]
    table(["--records", str(tmp_path / "records"), "--subset", "all", "--resamples", "100"])
    assert f"{min(accuracies):.4g} to {max(accuracies):.4g} by seed" in capsys.readouterr().out
    capsys.readouterr()
    compare(["--records", str(tmp_path / "records"), "--subset", "all", "--resamples", "100", "--format", "csv"])
    line = pd.read_csv(io.StringIO(capsys.readouterr().out)).iloc[0]
    assert line.n == len(contents[0])
    assert abs(line.difference) == pytest.approx(abs(np.mean(accuracies) - 0.3), abs=0.1)


def test_a_seed_that_lacks_pairs_makes_the_line_incomplete(tmp_path, capsys):
    content = rows(60, 0.7, 1)
    every = {"all": len(content), "diff": sum(row["difficult"] for row in content)}
    write_run(tmp_path, "gpnncam", content, seed=0)
    write_run(tmp_path, "gpnncam", content[:40], seed=1, pairs_in_all=every)
    actual = frame(tmp_path, capsys, "--subset", "all").loc["gpnncam"]
    assert not actual.complete
    assert actual.rows == 40


def test_the_overview_ranks_in_the_direction_that_is_better(results):
    runs, _ = load_runs(results / "records")
    runs = pool(runs)
    tell_apart(runs)
    (actual,) = overviews(runs, named_protocol("paper"), measures=("hit", "deletion", "insertion", "randomisation"),
                         resamples=500)  # fmt: skip
    assert [column.name for column in actual.columns] == ["hit", "deletion", "randomisation"]
    hit, deletion, randomisation = actual.columns
    assert list(actual.labels) == ["gradcam", "scorecam", "layercam", "gpnncam"]
    assert hit.ranks.idxmin() == "gpnncam"
    assert deletion.ranks.dropna().to_dict() == {"gradcam": 1, "layercam": 2, "gpnncam": 3}
    assert deletion.values["gradcam"] == pytest.approx(0.55 + 0.025, abs=0.01)
    assert randomisation.ranks.isna().all()
    both = pd.concat([hit.ranks, deletion.ranks], axis=1).dropna()
    tau = stats.kendalltau(both.iloc[:, 0], both.iloc[:, 1]).statistic
    assert actual.agreement.loc["hit", "deletion"] == actual.agreement.loc["deletion", "hit"] == pytest.approx(tau)
    assert actual.agreement.loc["hit", "hit"] == 1
    assert list(actual.agreement.columns) == ["hit", "deletion"]
    text = overview_markdown(actual)
    assert "hit ↑" in text
    assert "deletion ↓" in text
    assert "randomisation: below 0.7 passes. Passed: GRADCAM, LAYERCAM. Failed: GPNNCAM." in text


def test_of_pairs_that_the_network_sees_a_method_that_lacks_some_is_not_ranked(tmp_path):
    content = rows(60, 0.5, 1)
    every = {"all": len(content), "diff": sum(row["difficult"] for row in content)}
    write_run(tmp_path, "gradcam", content)
    write_run(tmp_path, "layercam", content)
    write_run(tmp_path, "scorecam", content[:6], pairs_in_all=every)
    runs, _ = load_runs(tmp_path / "records")
    for top_k in (None, 3):
        (found,) = overviews(runs, named_protocol("paper"), measures=("hit",), resamples=50, top_k=top_k)
        assert found.columns[0].incomplete == {"scorecam"}
        assert found.columns[0].ranks.dropna().index.tolist() == ["gradcam", "layercam"]


def test_the_command_prints_it_and_says_what_is_missing(results, tmp_path, capsys):
    records = ["--records", str(results / "records")]
    assert overview([*records, "--resamples", "100", "--method", "gradcam", "gpnncam"]) == 0
    text = capsys.readouterr().out
    assert "LAYERCAM" not in text
    assert "| GRADCAM" in text
    assert overview([*records, "--resamples", "100", "--data", "pascal"]) == 0
    assert overview([*records, "--data", "pascl"]) == 1
    assert "no run of the data set 'pascl'; near names: pascal" in capsys.readouterr().err
    assert overview(["--records", str(tmp_path)]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_the_page_draws_mean_curves_with_their_intervals(results, tmp_path, capsys):
    page = tmp_path / "page.html"
    arguments = ["--records", str(results / "records"), "--output", str(page), "--gallery", "0", "--resamples", "100"]
    assert report([*arguments, "--measure", "deletion", "--subset", "all"]) == 0
    text = page.read_text(encoding="utf-8")
    (view,) = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])["views"]
    assert view["along"] == "share of pixels deleted, the most important first"
    assert view["unit"] == "share"
    assert "How near is near enough" not in text
    assert "Does the highest point" not in text, "the page is about another question"
    means = pd.DataFrame(view["classes"]["values"]).mean(axis=1)
    assert means.is_monotonic_increasing, "the best class on top: of a deletion the lowest"
    path = next(method["path"] for method in view["methods"] if method["name"] == "gradcam")
    runs, _ = load_runs(results / "records")
    lines = next(run for run in runs if run.method == "gradcam").observations[0].lines
    mean = np.stack(lines["curve"].to_list()).mean(0)
    assert path["mean"] == pytest.approx(mean, abs=1e-4)
    assert path["shares"] == pytest.approx(np.linspace(0, 1, 11), abs=1e-4)
    assert all(low < middle < high for low, middle, high in zip(path["low"], path["mean"], path["high"], strict=True))
    assert report([*arguments, "--subset", "all"]) == 0
    (view,) = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.S)[1])["views"]
    assert view["along"] is None
    assert pd.DataFrame(view["classes"]["values"]).mean(axis=1).is_monotonic_decreasing


def test_a_method_whose_interval_holds_the_limit_is_undecided(tmp_path, capsys):
    content = rows(40, 0.6, 1)
    folder = write_run(tmp_path, "gradcam", content)
    observe(folder, content, SANITY, lambda row: similarity(0.35 if hash_of(row) % 2 else 1.0)(row))
    runs, _ = load_runs(tmp_path / "records")
    (found,) = overviews(runs, named_protocol("paper"), measures=("randomisation",), resamples=500)
    assert found.columns[0].undecided == {"gradcam"}
    expected = "below 0.7 passes. Undecided, since the 95 % interval holds it: GRADCAM."
    assert expected in overview_markdown(found)
    table(["--records", str(tmp_path / "records"), "--measure", "randomisation", "--resamples", "500"])
    assert "All is undecided, since its 95 % interval holds the limit: 0." in capsys.readouterr().out


def test_verdicts_stand_below_the_table(results, capsys):
    table(["--records", str(results / "records"), "--subset", "all", "--measure", "randomisation", "--resamples", "50"])
    text = capsys.readouterr().out
    assert "GRADCAM Pascal VOC2007 VGG16 All passes: 0.10, and below 0.7 passes." in text
    assert "GPNNCAM Pascal VOC2007 VGG16 All fails: 0.90" in text
    assert "**" not in text.split("95 % intervals")[0], "a test ranks nobody"


def test_the_price_of_seeds_of_unequal_length_is_the_mean_of_theirs(tmp_path, capsys):
    content = rows(40, 0.5, 1)
    every = {"all": len(content), "diff": sum(row["difficult"] for row in content)}
    few = [row | {"seconds": 0.5, "forwards": 9.0} for row in content[:30]]
    few[0] = few[0] | {"seconds": 70.0}  # the first picture waits for libraries
    write_run(tmp_path, "gpnncam", content, seed=0)
    write_run(tmp_path, "gpnncam", few, seed=1, pairs_in_all=every)
    actual = frame(tmp_path, capsys, "--subset", "all").loc["gpnncam"]
    by_picture = [pd.DataFrame(part).groupby("key")[["seconds", "forwards"]].sum() for part in (content, few)]
    assert actual.seconds == pytest.approx(np.mean([part.seconds.median() for part in by_picture]), abs=1e-6)
    assert actual.forwards == pytest.approx(np.mean([part.forwards.mean() for part in by_picture]), abs=1e-6)


def test_pairs_of_a_class_on_the_page_are_counted_once_for_all_seeds(tmp_path):
    for seed in range(3):
        write_run(tmp_path, "gpnncam", rows(40, 0.5, seed), seed=seed)
    page = tmp_path / "page.html"
    assert report(["--records", str(tmp_path / "records"), "--output", str(page), "--gallery", "0"]) == 0
    view = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.S)[1])["views"][0]
    expected = pd.DataFrame(rows(40, 0.5)).label.value_counts()
    assert dict(zip(view["classes"]["names"], view["classes"]["n"], strict=True)) == expected.to_dict()


def test_methods_with_equal_rows_are_named(tmp_path, capsys):
    content = rows(40, 0.6, 1)
    rounded = [row | {"cover5": row["cover5"] * (1 + 2e-4 * (place == 3))} for place, row in enumerate(content)]
    for name, its in (("gradcam", content), ("hirescam", rounded), ("xgradcam", content)):
        write_run(tmp_path, name, its)
    write_run(tmp_path, "scorecam", [row | {"energy": row["energy"] * 1.002} for row in content])
    write_run(tmp_path, "layercam", [row | {"x": 5.0} for row in content])
    assert table(["--records", str(tmp_path / "records"), "--subset", "all"]) == 0
    text = capsys.readouterr().out
    assert text.count("equal on every pair") == 1
    assert "GRADCAM, HIRESCAM, XGRADCAM (Pascal VOC2007 VGG16 All): equal on every pair" in text


def test_the_page_rounds_a_tie_as_the_tables_do(tmp_path):
    """5 of 16 is 0.312 in Python and 0.313 in JavaScript: the page shows the table's text."""
    content = [row | {"inside": at < 5, "distance": 9.0 * (at >= 5)} for at, row in enumerate(rows(40, 0.5)[:16])]
    write_run(tmp_path, "gradcam", content)
    page = tmp_path / "page.html"
    assert report(["--records", str(tmp_path / "records"), "--output", str(page), "--gallery", "0"]) == 0
    method = json.loads(re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"), re.S)[1])["views"][0][
        "methods"
    ][0]
    assert (method["value"], method["text"]) == (0.3125, "0.312")
