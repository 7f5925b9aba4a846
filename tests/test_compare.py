"""Two methods on the same pairs."""

import pandas as pd
import pytest

from scripts.compare import main as compare
from tests.synthetic_runs import printed_frame, rows, write_run


@pytest.fixture
def results(tmp_path):
    write_run(tmp_path, "gradcam", rows(120, 0.6, 1))
    write_run(tmp_path, "gpnncam", rows(120, 0.85, 2))
    write_run(tmp_path, "layercam", rows(120, 0.6, 3))
    write_run(tmp_path, "center", rows(120, 0.3, 4, blind=True), model=None)
    return tmp_path


def compared(results, capsys, *arguments) -> pd.DataFrame:
    return printed_frame(compare, results, capsys, *arguments)


def test_against_a_plain_count(results, capsys):
    a, b = pd.DataFrame(rows(120, 0.85, 2)).inside, pd.DataFrame(rows(120, 0.6, 1)).inside
    line = compared(results, capsys, "gpnncam", "gradcam", "--subset", "all").iloc[0]
    assert (line.method_a, line.method_b, line.n, line.pictures, line.left_out) == (
        "gpnncam",
        "gradcam",
        len(a),
        120,
        0,
    )
    assert line.difference == pytest.approx(a.mean() - b.mean(), abs=1e-6)
    assert (line.only_a, line.only_b) == ((a & ~b).sum(), (b & ~a).sum())
    assert 0 < line.low < line.difference < line.high
    assert line.mcnemar < 0.001
    turned = compared(results, capsys, "GradCAM", "GPNNCAM", "--subset", "all").iloc[0]
    assert turned.difference == pytest.approx(-line.difference)
    assert turned.mcnemar == pytest.approx(line.mcnemar)


def test_equal_methods_do_not_differ(results, capsys):
    line = compared(results, capsys, "gradcam", "layercam", "--subset", "all").iloc[0]
    assert line.low < 0 < line.high
    assert line.mcnemar > 0.05
    assert line.exchange > 0.05


def test_many_comparisons_are_corrected_for(results, capsys):
    frame = compared(results, capsys)
    assert len(frame) == 6 * 2  # four methods, two subsets
    assert (frame.mcnemar_holm >= frame.mcnemar).all()
    smallest = frame.mcnemar.idxmin()
    assert frame.mcnemar_holm[smallest] == pytest.approx(min(1, 12 * frame.mcnemar[smallest]), abs=1e-6)


def test_each_against_one_is_corrected_for_those_alone(results, capsys):
    frame = compared(results, capsys, "--against", "gradcam", "--subset", "all")
    assert sorted(frame.method_a) == ["center", "gpnncam", "layercam"]
    assert set(frame.method_b) == {"gradcam"}
    smallest = frame.mcnemar.idxmin()
    assert frame.mcnemar_holm[smallest] == pytest.approx(min(1, 3 * frame.mcnemar[smallest]), abs=1e-6)
    alone = compared(results, capsys, "gpnncam", "--against", "gradcam", "--subset", "all")
    assert alone[["method_a", "method_b"]].values.tolist() == [["gpnncam", "gradcam"]]
    with pytest.raises(SystemExit, match="nope"):
        compared(results, capsys, "--against", "nope")


def test_only_pairs_that_both_have_count_and_the_others_are_named(results, capsys):
    content = rows(120, 0.7, 5)
    write_run(results, "scorecam", content[:100], pairs_in_all={"all": len(content), "diff": 1})
    line = compared(results, capsys, "gradcam", "scorecam", "--subset", "all").iloc[0]
    assert (line.n, line.left_out) == (100, len(content) - 100)
    with pytest.raises(SystemExit, match="do not stand on all pairs"):
        compared(results, capsys, "gradcam", "scorecam", "--strict")


def test_pairs_that_the_network_has_no_output_for_are_not_left_out(tmp_path, capsys):
    write_run(tmp_path, "gradcam", rows(60, 0.5, 1), unasked=("class2",))
    write_run(tmp_path, "center", rows(60, 0.4, 3, blind=True), model=None)
    for order in (("gradcam", "center"), ("center", "gradcam")):
        line = compared(tmp_path, capsys, *order, "--subset", "all").iloc[0]
        classes = [row for row in rows(60, 0.5, 1) if row["label"] != "class2"]
        assert (line.n, line.left_out) == (len(classes), 0)


def test_a_measure_that_is_no_verdict_has_no_mcnemar(results, capsys):
    line = compared(results, capsys, "gpnncam", "gradcam", "--measure", "energy", "--subset", "all").iloc[0]
    a, b = pd.DataFrame(rows(120, 0.85, 2)).energy, pd.DataFrame(rows(120, 0.6, 1)).energy
    assert line.difference == pytest.approx((a - b).mean(), abs=1e-6)
    assert pd.isna(line.mcnemar)
    assert 0 < line.exchange <= 1


def test_by_class(results, capsys):
    line = compared(results, capsys, "gpnncam", "gradcam", "--average", "class", "--subset", "all").iloc[0]
    means = [pd.DataFrame(rows(120, p, s)).groupby("label").inside.mean().mean() for p, s in ((0.85, 2), (0.6, 1))]
    assert line.difference == pytest.approx(means[0] - means[1], abs=1e-6)


def test_variants_against_each_other(results, capsys):
    write_run(results, "gpnncam", rows(120, 0.8, 8), settings={"n": 5})
    frame = compared(results, capsys, "gpnncam", "gradcam", "--subset", "all")
    actual = {frozenset(pair) for pair in zip(frame.method_a, frame.method_b, strict=True)}
    assert actual == {
        frozenset({"gpnncam [n=default]", "gpnncam [n=5]"}),
        frozenset({"gpnncam [n=default]", "gradcam"}),
        frozenset({"gpnncam [n=5]", "gradcam"}),
    }
    assert len(compared(results, capsys, "gpnncam[n=5]", "gradcam", "--subset", "all")) == 1


def test_the_terminal_form_and_mistakes(results, capsys):
    compare(["gpnncam", "gradcam", "--records", str(results / "records"), "--resamples", "200"])
    text = capsys.readouterr().out
    assert "Holm: corrected for 2 comparisons." in text
    assert "**+0." in text
    with pytest.raises(SystemExit, match=r"no run of 'nope'.*center, gpnncam"):
        compared(results, capsys, "gpnncam", "nope")
    with pytest.raises(SystemExit, match="compared with"):
        compared(results, capsys, "gpnncam")
