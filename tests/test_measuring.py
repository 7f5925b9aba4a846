"""Measures of finished rows: added without touching anything else, checked against the rows, read on demand."""

import json
import shutil

import pandas as pd
import pytest

from eval.files.places import CONF
from eval.measures.measure import Score, column
from eval.records.loading import load_run
from eval.records.rows import compact
from eval.running.config import load
from eval.running.job import evaluate_job
from eval.running.measuring import build_measures, scores_of
from scripts.compare import main as compare
from scripts.table import main as table
from tests.synthetic_runs import printed_frame

SETTINGS = ["method=gradcam", "limit=3", "compare=false", "sync=second", "measure=average_drop"]


def evaluate(results, *settings):
    return evaluate_job(load([*SETTINGS, *settings, f"results={results}"]))


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    results = tmp_path_factory.mktemp("measured")
    evaluate(results)
    return results


@pytest.fixture
def results(measured, tmp_path):
    shutil.copytree(measured / "records", tmp_path / "records")
    return tmp_path


def folder(results):
    (run,) = (results / "records").iterdir()
    return run


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.json*")}


def frame(results, capsys, *arguments, of=table) -> pd.DataFrame:
    return printed_frame(of, results, capsys, *arguments, resamples=50)


class Mass:
    """mass: of the map. A user's own measure."""

    name = "mass"
    version = 3
    fields = ("mass",)
    scores = (Score("mass", "sum of the map", "units", True, column("mass")),)

    def observe(self, cases):
        return [{"mass": float(case.grid.sum())} for case in cases]


def test_a_measure_is_added_to_finished_rows_and_touches_nothing_else(results, capsys):
    before = content(folder(results))
    outcome = evaluate(results, "measure=[average_drop,custom]", "measure.custom._target_=tests.test_measuring.Mass")
    assert outcome.pairs == 4, "the pairs that the new one has not seen"
    assert "average_drop, mass: 4 pairs observed" in capsys.readouterr().out, "no measure is called custom"
    after = content(folder(results))
    assert before.items() <= after.items()
    added = {path.parts[1].partition(".")[0] for path in after.keys() - before.keys()}
    assert added == {"mass"}
    assert evaluate(results, "measure=custom", "measure.custom._target_=tests.test_measuring.Mass").pairs == 0
    assert content(folder(results)) == after
    drop, mass = frame(results, capsys, "--measure", "average_drop"), frame(results, capsys, "--measure", "mass")
    assert drop.n.tolist() == mass.n.tolist() == [4, 2]
    assert (
        json.loads(next(folder(results).glob("measures/mass.*/measure.json")).read_text())["identity"]["version"] == 3
    )


def test_rows_in_one_go_and_in_two_are_the_same(measured, tmp_path):
    evaluate(tmp_path, "measure=[]")
    rows = content(folder(tmp_path))
    assert not (folder(tmp_path) / "measures").exists()
    evaluate(tmp_path)
    assert content(folder(tmp_path)).items() >= rows.items()
    one, two = (load_run(folder(each)).observations[0].lines for each in (measured, tmp_path))
    timing = ["seconds"]
    pd.testing.assert_frame_equal(one.drop(columns=timing), two.drop(columns=timing))


def test_shards_and_compaction_read_as_one(results, measured):
    place = next(folder(results).glob("measures/*"))
    shutil.rmtree(place)
    for shard in ("1/2", "2/2"):
        evaluate(results, f"shard={shard}")
    lines = load_run(folder(results)).observations[0].lines
    assert compact(place) == 4
    assert not list(place.glob("rows*.jsonl"))
    packed = load_run(folder(results)).observations[0].lines
    whole = load_run(folder(measured)).observations[0].lines
    for actual in (lines, packed):
        actual = actual.set_index(["key", "label"]).sort_index().drop(columns="seconds")
        pd.testing.assert_frame_equal(actual, whole.set_index(["key", "label"]).sort_index().drop(columns="seconds"))


def test_two_settings_of_a_measure_never_share_a_sheet(results, capsys):
    evaluate(results, "measure.average_drop.probability=sigmoid")
    evaluate(results, "measure.average_drop.batch=3")  # of speed alone
    assert len(load_run(folder(results)).observations) == 2
    actual = frame(results, capsys, "--measure", "average_drop", "--subset", "all")
    assert actual.protocol.tolist() == ["paper [probability=sigmoid]", "paper [probability=softmax]"]
    assert actual.accuracy.nunique() == 2
    assert all("probability=" in rule for rule in actual.rule)


def test_an_observation_never_outlives_its_row(results, capsys):
    lines = (folder(results) / "rows.jsonl").read_text().splitlines(True)
    row = json.loads(lines[1])
    changed = json.dumps(row | {"x": row["x"] + 1}) + lines[1][-2:].lstrip("}")
    (folder(results) / "rows.jsonl").write_text("".join([lines[0], changed, *lines[2:]]))
    with pytest.raises(SystemExit, match=f"the observation of {row['key']}, {row['label']} is about a map whose point"):
        frame(results, capsys, "--measure", "average_drop")
    with pytest.raises(RuntimeError, match=f"picture {row['key']}.* and was .{row['x'] + 1}, "):
        evaluate(results, "measure=single_deletion")
    assert frame(results, capsys).n.tolist() == [4, 2], "who does not ask for observations does not read them"
    (folder(results) / "rows.jsonl").write_text("".join([lines[0], *lines[3:]]))
    with pytest.raises(SystemExit, match="which the run has no row of"):
        frame(results, capsys, "--measure", "average_drop")


def test_damaged_observations_are_named(results, capsys):
    place = next(folder(results).glob("measures/*"))
    path = place / "rows.jsonl"
    text = path.read_text()
    path.write_text(text.replace('"whole"', '"hole"', 1))
    with pytest.raises(SystemExit, match="do not agree about 'hole'"):
        frame(results, capsys, "--measure", "average_drop")
    path.write_text(text)
    (place / "measure.json").write_text("{}")
    with pytest.raises(SystemExit, match="is damaged: it has no valid 'name'"):
        frame(results, capsys, "--measure", "average_drop")
    (place / "measure.json").unlink()
    with pytest.raises(SystemExit, match="cannot be read"):
        frame(results, capsys, "--measure", "average_drop")


def test_methods_that_answer_with_points_have_no_observations(results, capsys):
    evaluate_job(load([*SETTINGS, "method=center", f"results={results}"]))
    assert "center: it answers with points, and average_drop needs maps" in capsys.readouterr().out
    assert frame(results, capsys, "--measure", "average_drop").method.unique().tolist() == ["gradcam"]


def test_ready_made_maps_are_measured_by_the_network_that_is_asked(results, capsys):
    evaluate(results / "kept", "measure=[]", "save_maps=true")
    (maps,) = (results / "kept" / "records").glob("*/maps")
    evaluate(results, "method=maps", f"method.folder={maps}")
    actual = frame(results, capsys, "--measure", "average_drop", "--subset", "all")
    assert actual.model.tolist() == ["resnet50", "resnet50"]
    # The kept maps are in half precision.
    assert actual.accuracy[0] == pytest.approx(actual.accuracy[1], abs=1e-2)
    both = frame(results, capsys, "--measure", "average_drop", "--subset", "all", of=compare)
    assert both.n.tolist() == [4]


class Wrong(Mass):
    def __init__(self, how):
        self.how = how

    def observe(self, cases):
        fields = {"infinite": {"mass": float("nan")}, "array": {"mass": [cases[0].grid]}, "name": {"weight": 1.0}}
        return [] if self.how == "few" else [fields[self.how] for _ in cases]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("infinite", "mass of class .* is not finite"),
        ("array", "holds a ndarray"),
        ("name", "observed weight, and states the fields mass"),
        ("few", "observed 0 of "),
    ],
)
def test_what_a_measure_may_not_return_is_refused(results, how, message):
    with pytest.raises(RuntimeError, match=message):
        evaluate(results, "measure=custom", "measure.custom._target_=tests.test_measuring.Wrong",
                 f"+measure.custom.how={how}")  # fmt: skip
    assert not [path for path in folder(results).glob("measures/mass.*/rows*.jsonl") if path.read_text()]


def test_names_that_are_no_measure_are_refused(results, capsys):
    with pytest.raises(ValueError, match="there is no measure=delet; near names: deletion"):
        load(["measure=delet"])
    with pytest.raises(ValueError, match="has not all of name, version, fields, scores and observe"):
        evaluate(results, "measure=custom", "measure.custom._target_=builtins.dict")
    with pytest.raises(SystemExit, match="unknown measure 'dele'; near names: deletion"):
        frame(results, capsys, "--measure", "dele")
    with pytest.raises(SystemExit, match="no run has observations of road: "):
        frame(results, capsys, "--measure", "road_morf")


def test_every_choice_of_conf_measure_is_a_measure_of_its_name():
    from eval.tables.scores import SCORES

    names = sorted(path.stem for path in (CONF / "measure").glob("*.yaml") if path.stem != "custom")
    cfg = load([f"measure=[{','.join(names)}]", "measure.idsds.fine_tuned=true"])
    built = build_measures(cfg)
    assert sorted(built) == names
    assert sorted(str(SCORES.measure_of(score)) for score in scores_of(cfg)) == names
    for name, each in built.items():
        measure, part = each.measure, each.part
        assert measure.name == part["name"] == name
        assert not set(part["build"]) & set(getattr(measure, "speed", ()))
        for score in measure.scores:
            assert SCORES.measure_of(score.name) == name
        lines = (CONF / "measure" / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        assert lines[0] == f"# @package measure.{name}"
        assert lines[1].startswith("# ")
    assert list(build_measures(load(["measure=road"]))) == ["road"], "one alone needs no brackets"


def test_a_run_ends_in_a_table_of_each_of_its_measures(results, capsys):
    from eval.running.summary import print_sweep

    cfg = load([*SETTINGS, f"results={results}"])
    print_sweep(evaluate_job(cfg).folders, [cfg])
    assert capsys.readouterr().out.count("### ") == 2, "hits, and the average drop"


def test_only_pairs_that_the_network_sees_are_selected(results, capsys):
    rows = load_run(folder(results)).rows
    evaluate(results, "measure=insertion", "measure.insertion.step=50176", "measure_top_k=1")
    observed = next(each for each in load_run(folder(results)).observations if each.name == "insertion").lines
    seen = rows[rows["rank"] < 1]
    assert sorted(zip(observed.key, observed.label, strict=True)) == sorted(zip(seen.key, seen.label, strict=True))
    assert 0 < len(seen) < len(rows)
    top = frame(results, capsys, "--measure", "insertion", "--subset", "all", "--top-k", "1")
    assert (top.n[0], top.rows[0]) == (len(seen), len(rows)), "none of the pairs that count is missing"
    whole = frame(results, capsys, "--measure", "insertion", "--subset", "all")
    assert (whole.n[0], whole.rows[0]) == (len(seen), len(seen))
    with pytest.raises(ValueError, match="measure_top_k must be a whole number of at least 1, not 0"):
        evaluate(results, "measure_top_k=0")
