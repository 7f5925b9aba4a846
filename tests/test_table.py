"""The table: what a cell stands on, what is marked or refused, which rules and published numbers belong together."""

import io
import json

import numpy as np
import pandas as pd
import pytest

from eval.game.protocol import named_protocol
from eval.records.loading import load_runs
from eval.records.wording import differing
from eval.tables.layout import place
from eval.tables.published import published, read_published
from scripts.table import main as table
from tests.synthetic_runs import TORCHRAY, rows, write_run

FIRST = ["dataset", "subset", "model", "method", "protocol", "n", "accuracy", "published", "delta"]


@pytest.fixture
def results(tmp_path):
    write_run(tmp_path, "gradcam", rows(60, 0.7, 1))
    write_run(tmp_path, "gpnncam", rows(60, 0.9, 2))
    write_run(tmp_path, "center", rows(60, 0.4, 3, blind=True), model=None, protocols=("paper", "torchray"))
    return tmp_path


def printed(results, capsys, *arguments, form="csv"):
    capsys.readouterr()
    status = table(["--records", str(results / "records"), "--format", form, "--resamples", "200", *arguments])
    text, errors = capsys.readouterr()
    if status:
        raise SystemExit(errors)
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=[""]) if form == "csv" else text


def cell(frame, method, subset="all", **where):
    for name, value in {"method": method, "subset": subset, **where}.items():
        frame = frame[frame[name] == value]
    assert len(frame) == 1, frame
    return frame.iloc[0]


def test_a_cell_is_the_average_of_its_rows(results, capsys):
    frame = printed(results, capsys, "--protocol", "paper")
    assert list(frame.columns[:9]) == FIRST
    for method, accuracy, seed in (("gradcam", 0.7, 1), ("gpnncam", 0.9, 2)):
        plain = pd.DataFrame(rows(60, accuracy, seed))
        for subset, part in (("all", plain), ("diff", plain[plain.difficult])):
            actual = cell(frame, method, subset)
            assert (actual.n, actual.rows, actual.pairs) == (len(part),) * 3
            assert actual.accuracy == pytest.approx(part.inside.mean(), abs=1e-6)
            assert actual.low < actual.accuracy < actual.high
            assert actual.seconds == pytest.approx(plain.groupby("key").seconds.sum().median(), abs=1e-6)
            assert actual.forwards == pytest.approx(plain.forwards.sum() / 60, abs=1e-6)


def test_a_method_without_a_network_stands_in_every_network_s_column(results, capsys):
    write_run(results, "gradcam", rows(60, 0.7, 1), model="resnet50", weights="other")
    frame = printed(results, capsys)
    centre = frame[(frame.method == "center") & (frame.subset == "all")]
    assert set(zip(centre.protocol, centre.model.fillna(""), strict=True)) == {
        ("paper", "vgg16"), ("paper", "resnet50"), ("torchray", ""),
    }  # fmt: skip


def test_rules_are_arguments(results, capsys):
    plain = pd.DataFrame(rows(60, 0.7, 1))
    actual = cell(printed(results, capsys, "--protocol", "paper", "--tolerance", "30"), "gradcam")
    assert actual.accuracy == pytest.approx((plain.distance < 30).mean(), abs=1e-6)
    assert actual.protocol == "paper [hit=tolerance, tolerance=30]"
    assert np.isnan(actual.published)
    actual = cell(printed(results, capsys, "--protocol", "paper", "--average", "class"), "gradcam")
    assert actual.accuracy == pytest.approx(plain.groupby("label").inside.mean().mean(), abs=1e-6)
    assert actual.protocol == "paper [average=class]"
    frame = printed(results, capsys, "--protocol", "authors", "--subset", "diff")
    assert set(frame.subset) == {"diff"}
    assert cell(frame, "gradcam", "diff").accuracy == pytest.approx(
        (plain[plain.difficult].distance < 15).mean(), abs=1e-6
    )
    # What a protocol says anyway changes nothing, its name included.
    assert set(printed(results, capsys, "--protocol", "authors", "--tolerance", "15").protocol) == {"authors"}


@pytest.mark.parametrize("measure", ["energy", "distance", "cover10"])
def test_other_measures(results, capsys, measure):
    frame = printed(results, capsys, "--protocol", "paper", "--measure", measure)
    assert cell(frame, "gradcam").accuracy == pytest.approx(pd.DataFrame(rows(60, 0.7, 1))[measure].mean(), abs=1e-6)
    assert frame.published.isna().all()
    assert np.isnan(cell(frame, "center").accuracy) == (measure != "distance")  # a point has no map
    best = frame[frame.best & (frame.subset == "all")].iloc[0]
    column = frame[frame.subset == "all"].accuracy
    assert best.accuracy == (column.min() if measure == "distance" else column.max())


def test_a_constant_map_is_a_miss_and_a_map_without_positive_mass_has_no_energy(tmp_path, capsys):
    content = rows(20, 1.0, 0)
    content[0] |= {"constant": True, "energy": None}
    write_run(tmp_path, "gradcam", content)
    actual = cell(printed(tmp_path, capsys), "gradcam")
    assert actual.accuracy == pytest.approx(1 - 1 / len(content), abs=1e-6)
    assert actual.constant == 1
    energy = [row["energy"] or 0 for row in content]
    assert cell(printed(tmp_path, capsys, "--measure", "energy"), "gradcam").accuracy == pytest.approx(
        np.mean(energy), abs=1e-6
    )
    assert "1 constant map (misses)" in printed(tmp_path, capsys, form="markdown")


def test_top_k_takes_the_rank_of_a_blind_method_from_a_run_of_the_network(results, capsys):
    plain = pd.DataFrame(rows(60, 0.7, 1))
    frame = printed(results, capsys, "--protocol", "paper", "--top-k", "2")
    assert cell(frame, "gradcam").n == (plain["rank"] < 2).sum()
    centre = pd.DataFrame(rows(60, 0.4, 3, blind=True)).merge(
        plain[["key", "label", "rank"]], on=["key", "label"], suffixes=("_", "")
    )
    actual = cell(frame, "center")
    assert actual.n == (centre["rank"] < 2).sum()
    assert actual.accuracy == pytest.approx(centre[centre["rank"] < 2].inside.mean(), abs=1e-6)
    # Without a network nobody knows the ranks, and the cell says so.
    alone = cell(printed(results, capsys, "--protocol", "torchray", "--top-k", "2"), "center")
    assert (alone.n, alone.unranked, alone.complete) == (0, len(plain), False)


def test_a_blind_method_is_held_to_the_pairs_that_the_network_can_be_asked_about(tmp_path, capsys):
    content = rows(60, 0.5, 1)
    write_run(tmp_path, "gradcam", content, unasked=("class1", "class3"))
    write_run(tmp_path, "center", rows(60, 0.4, 3, blind=True), model=None)
    plain = pd.DataFrame(rows(60, 0.4, 3, blind=True))
    plain = plain[~plain.label.isin(["class1", "class3"])]
    for subset, part in (("all", plain), ("diff", plain[plain.difficult])):
        for more in ((), ("--top-k", "2")):
            frame = printed(tmp_path, capsys, "--protocol", "paper", *more)
            actual, seeing = cell(frame, "center", subset), cell(frame, "gradcam", subset)
            assert (actual.n, actual.rows, actual.pairs) == (seeing.n, seeing.rows, seeing.pairs)
            assert actual.complete
            assert more or actual.accuracy == pytest.approx(part.inside.mean(), abs=1e-6)


def test_incomplete_cells_are_marked_not_ranked_and_refused_on_demand(results, capsys):
    content = rows(60, 1.0, 4)
    write_run(results, "layercam", content[:30], pairs_in_all={"all": len(content), "diff": 50})
    frame = printed(results, capsys, "--protocol", "paper")
    actual = cell(frame, "layercam")
    assert (actual.complete, actual.rows, actual.pairs) == (False, 30, len(content))
    assert not actual.best
    assert cell(frame, "gpnncam").best
    assert f"† 30 of {len(content)}" in printed(results, capsys, "--protocol", "paper", form="markdown")
    with pytest.raises(SystemExit, match=f"layercam.*30 of {len(content)}"):
        printed(results, capsys, "--strict")


def test_a_run_of_the_difficult_pairs_says_nothing_about_all(tmp_path, capsys):
    content = rows(60, 0.5, 1)
    difficult = [row for row in content if row["difficult"]]
    write_run(tmp_path, "gradcam", difficult, pairs_in_all={"all": len(content), "diff": len(difficult)})
    frame = printed(tmp_path, capsys)
    assert list(frame.subset) == ["diff"]
    assert frame.complete.all()


def test_a_partial_run_of_difficult_pairs_is_about_all_pairs_that_it_was_started_for(tmp_path, capsys):
    content = rows(60, 0.5, 1)
    difficult = [row for row in content if row["difficult"]]
    every = {"all": len(content), "diff": len(difficult)}
    for subset, shown in (("all", ["all", "diff"]), ("diff", ["diff"])):
        for number in (1, len(difficult)):
            config = {"dataset": {"name": "pascal", "domain": "voc", "subset": subset}}
            write_run(tmp_path / f"{subset}{number}", "gradcam", difficult[:number], config=config, pairs_in_all=every)
            assert list(printed(tmp_path / f"{subset}{number}", capsys).subset) == shown


def test_partial_runs_are_compared_on_the_pairs_that_all_have(tmp_path, capsys):
    content = {name: rows(60, share, seed) for name, share, seed in (("gradcam", 0.5, 1), ("layercam", 0.9, 2))}
    total = len(content["gradcam"])
    for name, part in (("gradcam", slice(0, 34)), ("layercam", slice(27, 60))):
        write_run(tmp_path, name, content[name][part], pairs_in_all={"all": total, "diff": total // 2})
    text = printed(tmp_path, capsys, "--subset", "all", form="markdown")
    means = [np.mean([row["inside"] for row in content[name][27:34]]) for name in ("gradcam", "layercam")]
    assert f"on the 7 pairs that all of these have: GRADCAM {means[0]:.4f}, LAYERCAM {means[1]:.4f}." in text
    assert f"33–34 of {total}" in text, "the line of pairs says on how many the values stand"
    by_class = cell(printed(tmp_path, capsys, "--subset", "all", "--average", "class"), "layercam")
    shared = pd.DataFrame(content["layercam"][27:34])
    assert by_class.common == pytest.approx(shared.groupby("label").inside.mean().mean(), abs=1e-6)
    assert by_class.common_n == 7
    whole = tmp_path / "whole"
    for name in content:
        write_run(whole, name, content[name])
    assert printed(whole, capsys).common.isna().all()


def test_top_k_of_a_measure_counts_what_is_known(tmp_path, capsys):
    """Every rank is known, and the measure observed some of the pairs: the top k is a number, not a bound."""
    from tests.test_overview import PART, curve, observe

    content = rows(60, 0.5, 1)
    folder = write_run(tmp_path, "gradcam", content)
    top = [row for row in content if row["rank"] < 2]
    observe(folder, top[:20], PART, curve(0.9, 0.2))
    arguments = ("--subset", "all", "--top-k", "2", "--measure", "deletion")
    actual = cell(printed(tmp_path, capsys, *arguments), "gradcam")
    assert (actual.n, actual.expected, actual.complete) == (20, len(top), False)
    text = printed(tmp_path, capsys, *arguments, form="markdown")
    assert f"† 20 of {len(top)}" in text
    assert f"20 of {len(top)} |" in text
    assert "≥" not in text
    observe(folder, top[20:], PART, curve(0.9, 0.2))
    assert cell(printed(tmp_path, capsys, *arguments), "gradcam").complete
    partial = tmp_path / "partial"
    write_run(partial, "gradcam", content[:30], pairs_in_all={"all": len(content), "diff": 30})
    text = printed(partial, capsys, "--subset", "all", "--top-k", "2", form="markdown")
    some = sum(row["rank"] < 2 for row in content[:30])
    assert f"≥ {some}" in text, "the rows that are missing may be of the top k"
    write_run(partial, "layercam", content)
    text = printed(partial, capsys, "--subset", "all", "--top-k", "2", form="markdown")
    assert f"† {some} of {len(top)}" in text, "another run of the network knows"


def test_numbers_are_rounded_once():
    from eval.tables.formats import decimal, signed

    assert decimal(0.112495, 3) == "0.112"
    assert decimal(float(decimal(0.112495, 4)), 3) != "0.112", "rounded twice it is another number"
    assert (decimal(-0.00001, 3), decimal(np.nan, 3), decimal(12.34, 1)) == ("0.000", "–", "12.3")
    assert (signed(-0.00001, 3), signed(-0.2, 1), signed(0.25, 2), signed(np.nan, 2)) == (
        "±0.000",
        "−0.2",
        "+0.25",
        "–",
    )


def test_failed_pictures_are_told(results, capsys):
    folder = next(run.folder for run in load_runs(results / "records")[0] if run.method == "gradcam")
    (folder / "failures.jsonl").write_text(json.dumps({"key": "999999", "error": "picture 999999: broken"}) + "\n")
    assert cell(printed(results, capsys, "--protocol", "paper"), "gradcam").failed == 1
    assert ": 1 picture failed, without rows." in printed(results, capsys, "--protocol", "paper", form="markdown")


def test_runs_whose_network_saw_another_input_are_not_scored_by_a_protocol(results, capsys):
    write_run(results, "gradcam", rows(60, 0.2, 7), source=TORCHRAY, protocols=("torchray",))
    assert len(printed(results, capsys, "--protocol", "paper")) == 6
    both = printed(results, capsys)
    assert cell(both, "gradcam", protocol="paper").accuracy > 0.5 > cell(both, "gradcam", protocol="torchray").accuracy


def test_a_changed_protocol_is_named_as_such(tmp_path, capsys):
    source = {**TORCHRAY, "side": 448}
    write_run(tmp_path, "gradcam", rows(30, 0.5), source=source, protocols=("torchray",))
    frame = printed(tmp_path, capsys)
    assert set(frame.protocol) == {"torchray [input.side=448]"}
    assert frame.published.isna().all()


def test_variants_go_by_the_value_of_their_numbers_and_the_paper_s_method_closes_the_table():
    names = [
        "center",
        "gradcam",
        "rise [masks=9]",
        "rise [masks=10]",
        "gpnncam",
        "gpnncam [n=5]",
        "gpnncam [n=20, sigma=0.75]",
    ]
    assert sorted([*names[::-1], "gpnncam [n=20, sigma=3.0]"], key=place) == [*names, "gpnncam [n=20, sigma=3.0]"]


def test_variants_of_a_method_are_told_apart_by_what_differs(results, capsys):
    write_run(results, "gpnncam", rows(60, 0.8, 5), settings={"n": 5})
    write_run(results, "gpnncam", rows(60, 0.85, 6), settings={"n": 20}, seed=1)
    frame = printed(results, capsys, "--protocol", "paper", "--subset", "all")
    assert set(frame.method) == {
        "center", "gradcam", "gpnncam [n=default, seed=0]", "gpnncam [n=5, seed=0]", "gpnncam [n=20, seed=1]",
    }  # fmt: skip
    assert frame[frame.method.str.startswith("gpnncam")].published.eq(0.83).all()


def test_layers_in_a_variant_are_plain_names():
    settings = [
        {"model": {"layers": {"cam": layers}, "name": "x"}, "build": {"n": 5}} for layers in (["a", "b"], ["c"])
    ]
    assert differing(settings) == [["layers=a,b"], ["layers=c"]]
    settings[0]["model"]["layers"]["relevance"] = ["z"]
    assert differing(settings) == [["cam=a,b", "relevance=z"], ["cam=c", "relevance=default"]]
    unset = differing([{"n": None, "m": 1}, {"m": 1}])
    assert unset == [[], []], "what is not set and what is set to nothing are one thing"


def test_methods_inside_methods_are_named_and_their_settings_are_not():
    def ensemble(inner, crops, **settings):
        target = f"mine.{inner.title()}"
        build = {"inner": {"name": inner, "label": inner, "build": {"_target_": target} | settings}, "crops": crops}
        return {"method": {"build": {"_target_": "mine.Ensemble"} | build, "code": {target: "version 1"}}}

    settings = [ensemble("cam", 0, relu=False), ensemble("cam", 20, relu=False), ensemble("ridge", 0, alpha=0.1)]
    assert differing(settings) == [
        ["crops=0", "inner=cam"],
        ["crops=20", "inner=cam"],
        ["crops=0", "inner=ridge"],
    ]
    assert differing([ensemble("cam", 0, relu=False), ensemble("cam", 0, relu=True)]) == [["relu=false"], ["relu=true"]]


def test_a_method_has_one_line_where_some_of_its_cells_stand_for_several_seeds(tmp_path, capsys):
    for model, seed in (("vgg16", 0), ("vgg16", 1), ("resnet50", 0)):
        write_run(tmp_path, "gradcam", rows(20, 0.5, seed), model=model, seed=seed)
    text = printed(tmp_path, capsys, "--protocol", "paper", "--subset", "all", form="markdown")
    assert [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| GRADCAM")] == ["GRADCAM"]
    assert "GRADCAM (2 seeds) Pascal VOC2007 VGG16 All:" in text


def test_published_numbers_stand_beside_their_own_protocol_and_network(results, capsys):
    actual = cell(printed(results, capsys, "--protocol", "paper"), "gpnncam", "diff")
    assert actual.published == 0.699
    assert actual.delta == pytest.approx(actual.accuracy - 0.699, abs=2e-6)
    assert cell(printed(results, capsys, "--protocol", "authors"), "gpnncam").published == 0.83
    assert "the paper does not say" in printed(results, capsys, "--protocol", "authors", form="markdown")
    assert cell(printed(results, capsys, "--protocol", "torchray"), "center").published == 0.696
    config = {"dataset": {"domain": "voc"}, "model": {"name": "vgg16", "variant": "imagenet", "class_map": "imagenet"}}
    write_run(results, "scorecam", rows(60, 0.5, 9), config=config)
    assert np.isnan(cell(printed(results, capsys, "--protocol", "paper"), "scorecam").published)
    for method, variant in (("layercam", "imagenet"), ("relevancecam", "other")):
        config = {"dataset": {"domain": "voc"}, "model": {"name": "vgg16", "variant": variant, "class_map": None}}
        write_run(results, method, rows(60, 0.5, 9), config=config)
        assert np.isnan(cell(printed(results, capsys, "--protocol", "paper"), method).published)
    config = {"dataset": {"domain": "voc"}, "model": {"name": "vgg16", "variant": "voc", "class_map": "imagenet"}}
    write_run(results, "gradcampp", rows(60, 0.5, 9), config=config)
    frame = printed(results, capsys, "--protocol", "paper")
    assert np.isnan(cell(frame, "gradcampp").published), "a class map alone makes another network's numbers"
    assert cell(frame, "gradcam").published > 0


def test_published_csv_holds_the_numbers_of_both_tables():
    known = read_published()
    assert len(known) == 72
    assert sum(number.reference == "paper" for number in known.values()) == 36
    assert all(0 < number.value < 1 and number.digits == 3 for number in known.values())
    spot = {
        ("imagenet", "all", "resnet50", "scorecam", "paper"): 0.905,
        ("pascal", "diff", "vgg16", "relevancecam", "paper"): 0.362,
        ("pascal", "diff", "resnet50", "gpnncam", "paper"): 0.749,
        ("pascal", "all", "resnet50", "extremal_perturbation", "torchray"): 0.889,
        ("pascal", "diff", "vgg16", "gradcam", "torchray"): 0.740,
        ("coco", "diff", "resnet50", "gradcam", "torchray"): 0.523,
    }
    assert {where: known[where].value for where in spot} == spot
    assert published("pascal", "diff", "resnet50", "center", "torchray").value == 0.424
    assert published("pascal", "all", "vgg16", "gradcam", "unknown") is None


def test_formats_come_from_one_frame(results, capsys):
    frame = printed(results, capsys, "--protocol", "paper")
    best = f"{cell(frame, 'gpnncam').accuracy:.4f}"
    second = f"{cell(frame, 'gradcam').accuracy:.4f}"
    marks = {
        "markdown": (f"**{best}**", f"<ins>{second}</ins>"),
        "latex": (f"\\textbf{{{best}}}", f"\\underline{{{second}}}"),
        "html": (f"<strong>{best}</strong>", f"<u>{second}</u>"),
    }
    for form, expected in marks.items():
        text = printed(results, capsys, "--protocol", "paper", form=form)
        assert all(mark in text for mark in expected), text
        assert "0.830" in text
    latex = printed(results, capsys, "--protocol", "paper", form="latex")
    assert latex.count("{") == latex.count("}")
    assert all(rule in latex for rule in ("\\toprule", "\\midrule", "\\bottomrule"))
    widths = {
        len(line)
        for line in printed(results, capsys, form="markdown").splitlines()
        if line.startswith("| ") and "0." in line
    }
    assert len(widths) <= 4  # two tables a protocol, each aligned


def test_mistakes_are_named(results, tmp_path, capsys):
    for arguments, message in (
        (["--protocol", "nope"], "near names: authors, paper, torchray"),
        (["--tolerance", "0"], "counts nothing"),
        (["--top-k", "0"], "at least 1"),
        (["--dataset", "imagenet"], "holds no run of the data set 'imagenet'; near names: pascal"),
        (["--model", "vgg61"], "holds no run of the network 'vgg61'; near names: vgg16"),
        (
            ["--method", "gradcam,center"],
            "there is no run of 'gradcam,center'; near names: gradcam, center; names are",
        ),
        (["--exclude", "gpnncm"], "there is no run of 'gpnncm'; near names: gpnncam"),
        (["--exclude", "gpnncam", "gradcam", "center"], "holds no run of this selection"),
    ):
        with pytest.raises(SystemExit, match=message):
            printed(results, capsys, *arguments)
    assert table(["--records", str(tmp_path / "nowhere")]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_named_protocols_are_those_of_the_config():
    assert (named_protocol("torchray").average, named_protocol("authors").hit) == ("class", "tolerance")
