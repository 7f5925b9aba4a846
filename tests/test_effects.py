"""Differences across inputs and over networks, against ten lines of numpy."""

import numpy as np
import pandas as pd
import pytest

from eval.records.loading import load_runs, pool, readable, tell_apart
from eval.tables.effects import effects, effects_markdown
from eval.tables.rules import Changes, rules_of
from eval.tables.statistics import RULE
from scripts import effects as script
from tests.synthetic_runs import SQUASHED, rows, write_run

LARGE = SQUASHED | {"side": 448}
LABEL = "paper [input.side=448]"


@pytest.fixture
def records(tmp_path):
    for number, model in enumerate(("vgg16", "resnet50")):
        write_run(tmp_path, "gradcam", rows(30, 0.4, number), model=model)
        write_run(tmp_path, "gradcam", rows(30, 0.6, 10 + number), model=model, source=LARGE)
        write_run(tmp_path, "gpnncam", rows(30 - 5 * number, 0.5, 20 + number), model=model, pairs_in_all=None)
    write_run(tmp_path, "center", rows(30, 0.3, 30, blind=True), model=None)
    return tmp_path / "records"


def loaded(records):
    runs, bad = load_runs(records)
    runs = pool(readable(runs, bad))
    tell_apart(runs)
    return runs


def hits(count, accuracy, seed):
    frame = pd.DataFrame(rows(count, accuracy, seed)).set_index(["key", "label"])
    return frame["inside"].astype(float), frame["rank"]


def test_inputs_and_networks_stand_side_by_side(records):
    frame = effects(loaded(records), Changes(), "gradcam", "paper", resamples=300)
    assert list(zip(frame["method"], frame["protocol"], frame["model"], strict=True)) == [
        ("gradcam", LABEL, "resnet50"), ("gradcam", LABEL, "vgg16"), ("gradcam", LABEL, "all 2"),
        ("gpnncam", "paper", "resnet50"), ("gpnncam", "paper", "vgg16"), ("gpnncam", "paper", "all 2"),
    ]  # fmt: skip
    both = frame.iloc[2]
    parts = [(hits(30, 0.6, 10 + n)[0] - hits(30, 0.4, n)[0]) for n in (0, 1)]
    assert both["difference"] == pytest.approx(np.concatenate(parts).mean())
    assert (both["n"], both["pictures"]) == (2 * len(parts[0]), 30), "a picture is one unit, whatever its networks"
    by_picture = sum(part.groupby(level="key").sum() for part in parts)
    pairs = sum(part.groupby(level="key").size() for part in parts)
    generator = np.random.default_rng(5)
    drawn = generator.integers(30, size=(4000, 30))
    spread = (by_picture.to_numpy()[drawn].sum(1) / pairs.to_numpy()[drawn].sum(1)).std()
    assert both["high"] - both["low"] == pytest.approx(3.92 * spread, rel=0.25)
    assert frame["passes"].tolist() == pytest.approx([8 * len(parts[0]) / 30] * 3 + [frame["passes"][3]] * 3, rel=0.2)
    assert frame["left_out"].tolist()[3:] == [len(parts[0]) - frame["n"][3], 0, len(parts[0]) - frame["n"][3]]


def test_top_k_pairs_are_the_references(records):
    frame = effects(loaded(records), Changes(top_k=2), "gradcam", "paper", resamples=50)
    old, rank = hits(30, 0.4, 1)
    new, _ = hits(30, 0.6, 11)
    line = frame[(frame["protocol"] == LABEL) & (frame["model"] == "resnet50")].iloc[0]
    assert line["n"] == (rank < 2).sum() < len(rank)
    assert line["difference"] == pytest.approx((new - old)[rank < 2].mean())


def test_the_reference_is_one(records):
    with pytest.raises(ValueError, match=r"not gradcam under paper; gradcam under paper \[input.side=448\]"):
        effects(loaded(records), Changes(), "gradcam")
    with pytest.raises(ValueError, match="not none"):
        effects(loaded(records), Changes(), "gpnncam", LABEL)


def test_networks_each_at_the_side_of_their_own_settings_are_pooled(records):
    wider = SQUASHED | {"side": 240}
    own = {"dataset": {"name": "pascal", "domain": "voc"}, "model": {"name": "lite1", "side": 240}}
    for number, method in enumerate(("gradcam", "gpnncam")):
        write_run(records.parent, method, rows(30, 0.5, 40 + number), model="lite1", source=wider, config=own)
    frame = effects(loaded(records), Changes(), "gradcam", "paper", resamples=50)
    ours = frame[(frame["method"] == "gpnncam") & (frame["protocol"] == "paper")].set_index("model")
    assert set(ours.index) == {"resnet50", "vgg16", "lite1", "all 3"}
    assert ours["n"]["all 3"] == ours["n"][["resnet50", "vgg16", "lite1"]].sum()
    usual = frame[frame["method"] == "gpnncam"].set_index("model")["passes"]
    assert usual["lite1"] == pytest.approx(usual["vgg16"] * (240 / 224) ** 2, rel=0.2)
    # Rows at 224 as well: which of them is the network's own under `paper` is no question any more.
    write_run(records.parent, "gradcam", rows(30, 0.5, 50), model="lite1", config=own)
    frame = effects(loaded(records), Changes(), "gradcam", "paper", resamples=50)
    assert "paper [input.side=240]" in set(frame[frame["model"] == "lite1"]["protocol"])
    assert set(frame[frame["protocol"] == "paper"]["model"]) == {"resnet50", "vgg16", "all 2"}


def test_the_command(records, capsys):
    assert script.main(["--records", str(records), "--against", "gradcam", "--reference", "paper"]) == 0
    printed = capsys.readouterr().out
    title, _, about, _, head, _, reference, first, second = printed.splitlines()[:9]
    assert title == "### Pascal VOC2007 All: differences to GRADCAM under paper"
    assert about == (
        "hit (pointing game: whether the highest point counts as a hit), more is better; in points (hundredths)."
    )
    assert [cell.strip() for cell in head.split("|")][1:6] == ["method", "protocol", "passes", "pairs", "all 2"]
    old = np.concatenate([hits(30, 0.4, n)[0] for n in (0, 1)])
    assert reference.split("|")[1].strip() == "*GRADCAM under paper*"
    assert reference.split("|")[5].strip() == f"{100 * old.mean():.1f}"
    assert LABEL in first
    assert "(of " in second
    assert RULE in printed
    frame = effects(loaded(records), Changes(), "gradcam", "paper", resamples=10_000)
    assert effects_markdown(frame) == printed
    assert script.main(["--records", str(records), "--against", "gradcam", "--protocol", "paper"]) == 1
    assert "--reference" in capsys.readouterr().err


def test_another_side_is_another_protocol_with_its_price_in_words(records):
    runs = [run for run in loaded(records) if run.info["identity"]["input"] == LARGE]
    (rule,) = {rule for run in runs for rule in rules_of(run, Changes())}
    assert rule.label == LABEL
    assert not rule.published
    assert rule.words.endswith("; a pass at side 448 costs 4 at side 224")


def test_pairs_that_either_side_lacks_are_said_and_refused(records, capsys):
    """The reference of one network has 20 of its pairs: all arms of that network stand on those alone."""
    content = rows(30, 0.3, 50)
    write_run(records.parent, "layercam", content[:20], pairs_in_all={"all": len(content), "diff": 9})
    frame = effects(loaded(records), Changes(), "layercam", resamples=50)
    line = frame[(frame["method"] == "gradcam") & (frame["protocol"] == "paper")].iloc[0]
    assert (line["n"], line["left_out"], line["complete"]) == (20, len(content) - 20, False)
    arguments = ["--records", str(records), "--against", "layercam"]
    assert script.main(arguments) == 0
    assert f"† 20 (of {len(content)})" in capsys.readouterr().out
    assert script.main([*arguments, "--strict"]) == 1
    assert "do not stand on all pairs" in capsys.readouterr().err
    top = effects(loaded(records), Changes(top_k=2), "layercam", resamples=50)
    assert not top["complete"].any(), "nobody knows how many pairs of the top 2 have no row"


def test_passes_of_several_seeds_are_those_of_one(tmp_path):
    for seed, part in enumerate((30, 12)):
        content = rows(30, 0.5, seed)
        keys = {f"{number:06d}" for number in range(part)}
        rest = [row | {"forwards": 2.0 + 4 * seed} for row in content if row["key"] in keys]
        write_run(tmp_path, "gpnncam", rest, seed=seed, pairs_in_all={"all": len(content), "diff": 9})
    write_run(tmp_path, "gradcam", rows(30, 0.4, 9))
    line = effects(loaded(tmp_path / "records"), Changes(), "gradcam", resamples=50).iloc[0]
    frame = pd.DataFrame(rows(30, 0.5, 0))
    small = frame[frame["key"] < f"{12:06d}"]
    expected = (2 * len(frame) / 30 + 6 * len(small) / 12) / 2
    assert line["passes"] == pytest.approx(expected)
