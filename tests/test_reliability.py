"""Which measure can be believed: known answers on synthetic rows, plain loops as second implementations, the page."""

import io
import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from eval.game.protocol import named_protocol
from eval.records.loading import load_runs, tell_apart
from eval.tables.orders import STANDS, Samples, influence, mean_of, pictures_needed, spearman
from eval.tables.reliability import COLUMNS, boards, halves, reliability
from eval.tables.reliable import agreement, reliability_markdown, sentences, summary
from scripts.reliability.__main__ import main
from tests.synthetic_runs import rows, write_run

METHODS, NETWORKS = 5, ("vgg16", "resnet50")
MEASURES = ["hit", "energy", "pixel_ap", "iou_best", "cover5"]


def content(method, network, pictures=60):
    """hit: better for later methods. energy: the order of methods, the same on both networks and clear. pixel_ap: the
    same reversed. iou_best: noise. cover5: what the centre has too."""
    lines = rows(pictures, 0.2 + 0.15 * method, seed=10 * method + network)
    noise = np.random.default_rng([method, network])
    for row in lines:
        row["energy"] = round(0.2 + 0.1 * method + 0.05 * float(noise.random()), 6)
        row["pixel_ap"] = round(1 - row["energy"], 6)
        row["iou_best"] = round(float(noise.random()), 6)
        row["cover5"] = 0.5
    return lines


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("reliability")
    for network, method in itertools.product(range(2), range(METHODS)):
        write_run(root, f"method{method}", content(method, network), model=NETWORKS[network])
    for network, name in enumerate(NETWORKS):
        write_run(root, "other_class", content(0, network), model=name)
    middle = [row | {"energy": 0.0, "pixel_ap": 0.0, "iou_best": 0.0, "cover5": 0.5} for row in content(0, 0)]
    write_run(root, "center_map", middle, model=None)
    return root


@pytest.fixture(scope="module")
def made(results):
    runs, _ = load_runs(results / "records")
    tell_apart(runs)
    return boards(runs, named_protocol("paper"), MEASURES)


@pytest.fixture(scope="module")
def frame(made):
    return reliability(made, splits=50)


def answer(frame, measure, question, other=None, model="vgg16"):
    found = frame[(frame.measure == measure) & (frame.question == question) & (frame.model == model)]
    found = found if other is None else found[found.other == str(other)]
    return found.iloc[-1]


def test_boards_hold_every_method_and_know_the_controls(made):
    assert len(made) == len(MEASURES) * 2
    for board in made:
        assert board.methods == [f"method{number}" for number in range(METHODS)]
        assert sorted(filter(None, board.family)) == ["center_map", "other_class"]
        assert board.left_out == 0
        assert board.averages == pytest.approx(board.values.mean(0))


def test_discrimination_counts_pairs_and_methods(made, frame):
    # Against noise-free zeros every map wins; equal values count half; other_class has the values of method 0.
    assert tuple(answer(frame, "energy", "above", "center_map")[["value", "low", "high"]]) == pytest.approx((1, 1, 1))
    assert answer(frame, "cover5", "above", "center_map").value == 0.5
    assert answer(frame, "energy", "methods_above", "center_map").value == 1
    assert answer(frame, "cover5", "methods_above", "center_map").value == 0
    assert answer(frame, "energy", "methods_above", "other_class").value == (METHODS - 1) / METHODS
    (board,) = (each for each in made if (each.measure, each.model) == ("iou_best", "vgg16"))
    real, control = board.values[:, board.real], board.values[:, [board.names.index("other_class")]]
    wins = ((real > control) + 0.5 * (real == control)).mean()
    found = answer(frame, "iou_best", "above", "other_class")
    assert found.value == pytest.approx(wins)
    assert found.low < wins < found.high


def test_a_control_of_one_method_is_compared_with_that_one(tmp_path):
    for method in range(3):
        write_run(tmp_path, f"method{method}", content(method, 0))
    write_run(tmp_path, "other_picture", content(1, 1))
    runs, _ = load_runs(tmp_path / "records")
    for run in runs:
        if run.info["method"] == "other_picture":
            run.info["identity"]["method"]["of"] = "method1"
    tell_apart(runs)
    (board,) = boards(runs, named_protocol("paper"), ["energy"])
    place = board.names.index("other_picture")
    expected = (board.values[:, board.names.index("method1")] > board.values[:, place]).mean()
    assert 0.3 < expected < 0.7
    assert answer(reliability([board], 4), "energy", "above").value == pytest.approx(expected)


def test_halves_and_agreement_have_known_answers(frame):
    for measure, value in (("energy", 1), ("cover5", 0)):
        assert answer(frame, measure, "halves").value == value, "a clear order, and none at all"
    assert abs(answer(frame, "iou_best", "halves").value) < 0.5
    assert answer(frame, "energy", "pictures").value == 15, "the smallest sample that is tried"
    assert answer(frame, "energy", "networks", "resnet50").value == pytest.approx(1)
    assert answer(frame, "energy", "measures", "pixel_ap").value == pytest.approx(-1)
    assert answer(frame, "energy", "within", "pixel_ap").value == pytest.approx(-1)
    assert answer(frame, "energy", "measures", "hit").value > 0.8
    assert np.isnan(answer(frame, "energy", "measures", "cover5").value), "who orders nothing agrees with nobody"
    both = agreement(frame, "measures")
    assert both.loc["energy", "pixel_ap"] == both.loc["pixel_ap", "energy"] == pytest.approx(-1)


def test_halves_against_plain_splits(made):
    (board,) = (each for each in made if (each.measure, each.model) == ("hit", "vgg16"))
    curve = halves(board, splits=400, seed=3)
    assert [size for size, _ in curve] == [15, 30]
    draw, table = np.random.default_rng(0), pd.DataFrame(board.values[:, board.real])
    pictures = np.unique(board.keys)
    for size, values in curve:
        plain = []
        for _ in range(400):
            order = draw.permutation(pictures)
            parts = [table[np.isin(board.keys, order[at : at + size])].mean() for at in (0, size)]
            plain.append(stats.spearmanr(*parts).statistic)
        assert values.mean() == pytest.approx(np.mean(plain), abs=4 * np.std(plain) / np.sqrt(400))


def test_pictures_needed_on_curves_by_hand():
    assert pictures_needed([(10, 0.95), (20, 0.97)]) == (10, False)
    needed, beyond = pictures_needed([(10, 0.5), (20, 0.8), (40, 1.0)])
    assert (needed, beyond) == (pytest.approx(20 * np.sqrt(2)), False)
    assert pictures_needed([(10, 0.95), (20, 0.8), (40, 1.0)])[0] == pytest.approx(20 * np.sqrt(2)), "and keeps it"
    needed, beyond = pictures_needed([(10, 0.5)])
    assert (needed, beyond) == (pytest.approx(90), True)
    # Spearman and Brown: k times as many give k r / (1 + (k - 1) r).
    k = needed / 10
    assert k * 0.5 / (1 + (k - 1) * 0.5) == pytest.approx(STANDS)
    assert np.isnan(pictures_needed([(10, -0.1)])[0])
    assert np.isnan(pictures_needed([])[0])


@pytest.mark.parametrize("by_class", [False, True])
def test_errors_of_averages_against_the_bootstrap(by_class):
    lines = pd.DataFrame(rows(200, 0.6, seed=4))
    values = np.column_stack([lines["inside"].astype(float), lines["energy"]])
    classes = lines["label"].to_numpy() if by_class else None
    keys, draw = lines["key"].to_numpy(), np.random.default_rng(0)
    groups = Samples(keys, values, classes)
    weights = draw.multinomial(200, np.full(200, 1 / 200), 4000).astype(float)
    resampled = groups.averages(weights)
    drawn = lines.loc[np.repeat(np.arange(len(lines)), weights[0].astype(int)[pd.factorize(keys)[0]])]
    by = drawn.groupby("label")["energy"].mean().mean() if by_class else drawn["energy"].mean()
    assert resampled[0, 1] == pytest.approx(by), "a plain average of the first sample"
    moved = influence(lines["key"].to_numpy(), values, classes)
    assert moved.sum(0) == pytest.approx(0, abs=1e-12)
    assert np.linalg.norm(moved, axis=0) == pytest.approx(resampled.std(0), rel=0.06)
    difference = np.linalg.norm(moved[:, 0] - moved[:, 1])
    assert difference == pytest.approx((resampled[:, 0] - resampled[:, 1]).std(), rel=0.06)
    mean, low, high = mean_of(lines["key"].to_numpy(), values[:, 0], classes)
    assert mean == pytest.approx(groups.averages(np.ones((1, 200)))[0, 0])
    assert (low, high) == pytest.approx(tuple(np.quantile(resampled[:, 0], (0.025, 0.975))), abs=0.006)


def test_detectable_differences_are_detected_four_times_in_five():
    """Simulation: a true difference of that size is outside the 95 % interval in 80 % of samples."""
    draw, seen, sizes = np.random.default_rng(0), 0, []
    keys = np.repeat(np.arange(100), 2)
    for _ in range(400):
        noise = np.repeat(draw.normal(size=100), 2) + draw.normal(size=200)
        error = np.linalg.norm(influence(keys, noise[:, None], None))
        sizes.append(error)
        seen += abs(noise.mean() + 2.8 * np.sqrt((1 + 0.5) / 100)) > 1.96 * error
    assert seen / 400 == pytest.approx(0.8, abs=0.06)
    assert np.mean(sizes) == pytest.approx(np.sqrt(1.5 / 100), rel=0.03)


def test_redrawn_averages_vary_as_the_data_do_and_equal_methods_stay_equal(made):
    (board,) = (each for each in made if (each.measure, each.model) == ("hit", "vgg16"))
    drawn = board.redrawn
    assert drawn.std(0) == pytest.approx(np.linalg.norm(board.influence, axis=0), rel=0.1)
    (flat,) = (each for each in made if (each.measure, each.model) == ("cover5", "vgg16"))
    assert np.isnan(spearman(flat.redrawn, flat.redrawn)).all()


def test_rank_correlation_against_scipy():
    draw = np.random.default_rng(0)
    a, b = draw.integers(0, 4, (30, 6)).astype(float), draw.normal(size=(30, 6))
    expected = [stats.spearmanr(*lines).statistic for lines in zip(a, b, strict=True)]
    assert spearman(a, b) == pytest.approx(expected, nan_ok=True)
    assert np.isnan(spearman(np.ones((1, 3)), b[:1, :3]))[0]
    assert spearman(np.array([[0.1 + 0.2, 0.3, 1]]), np.array([[1.0, 1, 2]]))[0] == pytest.approx(1), (
        "rounding orders none"
    )


def test_in_short_and_in_words(made, frame):
    table = summary(frame)
    assert list(table.index) == MEASURES
    assert table.loc["energy", "above center_map"] == 1
    assert table.loc["energy", "networks"] == pytest.approx(1)
    assert table.loc["energy", "columns"] == 2
    detectable, spread = (
        frame[(frame.measure == "hit") & (frame.question == name)].value for name in ("detectable", "spread")
    )
    assert table.loc["hit", "resolution"] == pytest.approx(np.mean(spread.to_numpy() / detectable.to_numpy()))
    lost, stable = sentences(table)
    assert "cover5" in lost
    assert "energy" not in lost
    assert stable.endswith("energy, pixel_ap.") or "energy" in stable
    text = reliability_markdown(frame, made)
    assert "better than center_map" in text
    assert "better than random" not in text, "no run, no column"


def test_the_command_prints_and_writes_a_page(results, capsys, tmp_path):
    page = tmp_path / "page.html"
    common = [
        "--records",
        str(results / "records"),
        "--resamples",
        "50",
        "--splits",
        "5",
        "--measures",
        "hit",
        "energy",
    ]
    assert main([*common, "--format", "csv", "--page", str(page)]) == 0
    found = pd.read_csv(io.StringIO(capsys.readouterr().out), dtype={"other": str})
    assert list(found) == COLUMNS
    assert set(found.measure) == {"hit", "energy"}
    text = page.read_text("utf-8")
    assert text.count("<polyline") == 4, "a curve a measure and network"
    assert text.count('<th scope="row">energy</th>') == 3
    assert main([*common, "--method", "method0", "method1"]) == 1
    assert "an order needs three" in capsys.readouterr().err
