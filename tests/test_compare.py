"""Two methods on the same pairs."""

import pandas as pd
import pytest

from eval.tables.sentence import p_value
from eval.tables.statistics import RULE
from scripts.compare import main as compare
from tests.synthetic_runs import printed_frame, rows, write_run


@pytest.fixture
def results(tmp_path):
    write_run(tmp_path, "gradcam", rows(120, 0.6, 1))
    write_run(tmp_path, "gpnncam", rows(120, 0.85, 2))
    write_run(tmp_path, "layercam", rows(120, 0.6, 3))
    write_run(tmp_path, "center", rows(120, 0.3, 4, blind=True), model=None)
    return tmp_path


def compared(results, capsys, *arguments, **options) -> pd.DataFrame:
    return printed_frame(compare, results, capsys, *arguments, **options)


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


def test_a_named_method_without_rows_is_said(results, capsys):
    write_run(results, "scorecam", rows(120, 0.7, 5)[:0])
    assert compare(["gradcam", "scorecam", "gpnncam", "--records", str(results / "records"), "--resamples", "50"]) == 0
    said_first = capsys.readouterr().err.splitlines()[0]
    assert said_first == "scorecam has no rows of a pair that another one has: no line compares it"


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
    assert RULE in text
    assert "**+0." in text
    head = next(line for line in text.splitlines() if line.startswith("| data"))
    assert [cell.strip() for cell in head.split("|")][1:-1] == [
        "data", "A", "B", "pairs", "pictures", "A − B", "95 % interval", "p (Holm)",
    ]  # fmt: skip
    compare(["gpnncam", "gradcam", "--records", str(results / "records"), "--resamples", "200", "--all"])
    assert "McNemar (Holm)" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"no run of 'nope'.*center, gpnncam"):
        compared(results, capsys, "gpnncam", "nope")
    with pytest.raises(SystemExit, match="compared with"):
        compared(results, capsys, "gpnncam")


def said(results, capsys, *arguments):
    assert compare([*arguments, "--records", str(results / "records"), "--resamples", "500", "--subset", "all"]) == 0
    return [line[2:] for line in capsys.readouterr().out.splitlines() if line.startswith("- ")]


def test_a_comparison_ends_in_a_sentence(results, capsys):
    line = compared(results, capsys, "gradcam", "gpnncam", "--subset", "all", resamples=500).iloc[0]
    (text,) = said(results, capsys, "gradcam", "gpnncam")
    assert text.startswith(f"Pascal VOC2007 VGG16 All: GPNNCAM is better than GRADCAM by {-line.difference:.4f} (")
    assert f"{line.accuracy_b:.4f} against {line.accuracy_a:.4f}; hit, more is better)" in text
    assert f"on {line.n} pairs of 120 pictures; shown" in text
    assert f"p = {p_value(line.exchange_holm)}" in text
    line = compared(results, capsys, "gradcam", "layercam", "--subset", "all", resamples=500).iloc[0]
    (text,) = said(results, capsys, "gradcam", "layercam")
    assert "no difference is shown between" in text
    assert f" On 120 pictures a difference of about {line.resolves:.4f} or more would be shown; " in text
    assert f"this one takes about {int(float(f'{line.needed:.2g}')):,} pictures." in text


def test_less_is_better_where_the_measure_says_so(results, capsys):
    line = compared(results, capsys, "gradcam", "gpnncam", "--subset", "all", "--measure", "distance").iloc[0]
    (text,) = said(results, capsys, "gradcam", "gpnncam", "--measure", "distance")
    assert line.difference > 0
    assert f"GPNNCAM is better than GRADCAM by {line.difference:.1f} (" in text
    assert "; distance, less is better)" in text


def test_equal_methods_are_said_to_be_equal(results, capsys):
    write_run(results, "xgradcam", rows(120, 0.6, 1))
    (text,) = said(results, capsys, "gradcam", "xgradcam")
    assert "GRADCAM and XGRADCAM have equal hit on" in text
    assert f"within ±{1 - 0.025 ** (1 / trials(120)):.4f} is left open" in text
    (text,) = said(results, capsys, "gradcam", "xgradcam", "--measure", "distance")
    assert "; that bounds none." in text


def trials(pictures):
    sizes = pd.DataFrame(rows(pictures, 0.6, 1)).groupby("key").size()
    return sizes.sum() ** 2 / (sizes**2).sum()


def test_of_many_comparisons_the_number_that_is_shown_is_said(results, capsys):
    for number in range(3):
        write_run(results, f"cam{number}", rows(120, 0.6, 20 + number))
    frame = compared(results, capsys, "--subset", "all", resamples=500)
    (text,) = said(results, capsys)
    assert len(frame) == 21
    assert text.startswith(f"{frame.shown.sum()} of 21 differences are shown: better are ")
    assert f"GPNNCAM in {(frame.shown & (frame[['method_a', 'method_b']] == 'gpnncam').any(axis=1)).sum()}" in text


def test_bold_shown_and_holm_are_one_verdict_as_in_the_table(results, capsys):
    from scripts.table import main as table

    marks = printed_frame(table, results, capsys, "--subset", "all", resamples=500).set_index("method")
    frame = compared(results, capsys, "--against", "gpnncam", "--subset", "all", resamples=500).set_index("method_a")
    assert (frame.shown == (frame.exchange_holm <= 0.05)).all()
    for name in ("gradcam", "layercam", "center"):
        assert marks.alike[name] != frame.shown[name]


def test_pairs_of_the_top_k_that_have_no_row_are_missed(tmp_path, capsys):
    content = rows(60, 0.5, 1)
    every = {"all": len(content), "diff": 9}
    write_run(tmp_path, "gradcam", content)
    write_run(tmp_path, "layercam", content[:40], pairs_in_all=every)
    line = compared(tmp_path, capsys, "gradcam", "layercam", "--subset", "all", "--top-k", "2").iloc[0]
    assert line.left_out == sum(row["rank"] < 2 for row in content[40:])
    assert not line.complete
    with pytest.raises(SystemExit, match="do not stand on all pairs"):
        compared(tmp_path, capsys, "gradcam", "layercam", "--subset", "all", "--top-k", "2", "--strict")
    partial = tmp_path / "partial"
    for name in ("gradcam", "layercam"):
        write_run(partial, name, content[:40], pairs_in_all=every)
    line = compared(partial, capsys, "gradcam", "layercam", "--subset", "all", "--top-k", "2").iloc[0]
    assert (line.left_out, line.complete) == (0, False), "nobody knows how many of the missing are of the top 2"
    with pytest.raises(SystemExit, match="do not stand on all pairs"):
        compared(partial, capsys, "gradcam", "layercam", "--subset", "all", "--top-k", "2", "--strict")
