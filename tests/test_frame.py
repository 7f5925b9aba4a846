"""Frames of rows with measures' columns, and methods compared from frames as from records."""

import numpy as np
import pandas as pd
import pytest

from eval.records.loading import load_runs, tell_apart
from eval.tables.frame import compare, frame_of
from eval.tables.paired import COLUMNS, paired_table
from eval.tables.rules import Changes
from eval.tables.sentence import sentence
from tests.synthetic_runs import rows, write_run
from tests.test_overview import PART, curve, observe


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Three methods; deletion observed for two, for one of them under two settings."""
    root = tmp_path_factory.mktemp("frame")
    for name, accuracy, seed, deleted in (("gradcam", 0.5, 1, 0.2), ("gpnncam", 0.8, 2, 0.4)):
        content = rows(60, accuracy, seed)
        folder = write_run(root, name, content)
        observe(folder, content, PART, curve(0.9, deleted))
        if name == "gradcam":
            other = PART | {"build": PART["build"] | {"step": 5}}
            observe(folder, content[:20], other, curve(0.8, 0.1))
    write_run(root, "center", rows(60, 0.3, 3, blind=True), model=None)
    return root / "records"


def of_records(records, measure, **options):
    runs = load_runs(records)[0]
    tell_apart(runs)
    return paired_table(runs, None, Changes(measure=measure), subsets=("all",), resamples=500, **options)


@pytest.mark.parametrize("measure", ["hit", "energy"])
def test_a_frame_is_compared_as_its_records_are(records, measure):
    frame = frame_of(records)
    expected = of_records(records, measure).set_index(["label_a", "label_b"])
    actual = compare(frame, measure, resamples=500).set_index(["label_a", "label_b"])
    assert set(map(frozenset, actual.index)) == set(map(frozenset, expected.index))
    for (a, b), line in actual.iterrows():
        turned = (a, b) not in expected.index
        other = expected.loc[(b, a) if turned else (a, b)]
        assert line["difference"] == pytest.approx(-other["difference"] if turned else other["difference"])
        bounds = (-other["high"], -other["low"]) if turned else (other["low"], other["high"])
        assert (line["low"], line["high"]) == pytest.approx(bounds)
        for name in ("exchange", "exchange_holm", "n", "pictures", "left_out", "shown"):
            assert line[name] == pytest.approx(other[name])
    assert [*compare(frame, measure, resamples=500).columns] == [*COLUMNS, "sentence"]


def test_against_one_and_its_sentence(records):
    frame = frame_of(records)
    lines = compare(frame, against="GRADCAM", resamples=500)
    assert set(lines["method_a"]) == {"gpnncam", "center"}
    assert set(lines["method_b"]) == {"gradcam"}
    best = lines[lines["method_a"] == "gpnncam"].iloc[0]
    assert best["sentence"].startswith("Pascal VOC2007 VGG16: GPNNCAM is better than GRADCAM by ")
    expected = of_records(records, "hit", against="gradcam")
    (said,) = (sentence(line) for line in expected.itertuples() if line.label_a == "GPNNCAM")
    assert best["sentence"].replace("  ", " ") == said.replace(" All", "")


def test_rows_of_score_need_a_method_and_seeds_are_averaged():
    one, other = pd.DataFrame(rows(40, 0.9, 1)), pd.DataFrame(rows(40, 0.2, 2))
    with pytest.raises(ValueError, match="no column 'method'"):
        compare(pd.concat([one, other]))
    both = pd.concat([one.assign(method="mine"), other.assign(method="theirs")])
    (line,) = compare(both, resamples=200).itertuples()
    assert line.difference == pytest.approx(one["inside"].mean() - other["inside"].mean())
    assert line.sentence.startswith("mine is better than theirs")
    halved = pd.concat([both, one.assign(method="mine", inside=False)], ignore_index=True)
    (line,) = compare(halved, resamples=200).itertuples()
    assert line.accuracy_a == pytest.approx(one["inside"].mean() / 2)
    fewer = pd.concat([one.assign(method="mine"), other.iloc[5:].assign(method="theirs")])
    (line,) = compare(fewer, resamples=200).itertuples()
    assert (line.left_out, line.complete, line.n) == (5, False, len(one) - 5)
    for wrong, said in (({"against": "thiers"}, "near names: theirs"), ({"measure": "hti"}, "near names: hit")):
        with pytest.raises(ValueError, match=said):
            compare(both, **wrong)


def test_measures_are_columns(records):
    plain, frame = frame_of(records), frame_of(records, measures=["deletion", "energy"])
    pd.testing.assert_frame_equal(frame[plain.columns], plain)
    names = {name for name in frame if name.startswith("deletion")}
    assert names == {"deletion [step=5]", "deletion [step=9]"}
    nine = frame["deletion [step=9]"]
    assert nine[frame["method"] == "center"].isna().all()
    assert nine[frame["method"] != "center"].notna().all()
    row = frame[frame["method"] == "gradcam"].iloc[3]
    values = curve(0.9, 0.2)(row)["curve"]
    assert row["deletion [step=9]"] == pytest.approx(np.trapezoid(values, dx=0.1), abs=1e-5)
    assert frame["deletion [step=5]"].notna().sum() == 20
    (line,) = compare(frame, "deletion [step=9]", resamples=200).itertuples()
    assert line.difference == pytest.approx(nine[frame["method"] == line.method_a].mean()
                                            - nine[frame["method"] == line.method_b].mean())  # fmt: skip
    assert "less is better" in line.sentence
    with pytest.raises(ValueError, match="no run has observations of road"):
        frame_of(records, measures=["road"])
