"""Claims of real runs on the built-in scenes: evaluated anew, and the forgeries that nothing else betrays."""

import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image

from eval.claims import claim, folder, rerun
from eval.claims.folder import OF_MACHINES
from eval.claims.report import Report
from eval.running.config import load
from eval.running.job import evaluate_job
from scripts.claim import verify
from scripts.leaderboard.__main__ import main as leaderboard
from tests.claim_cases import copied, faults, lines, made, resealed, verified

METHOD = '''
import torch


def explain(image, targets, classifier, cells=4):
    """Brightness, which has nothing to do with the class."""
    grid = torch.nn.functional.adaptive_avg_pool2d(image.mean(0)[None], cells)
    return grid.expand(len(targets), -1, -1)
'''


def run(results: Path, *settings: str) -> Path:
    settings = ("method=gradcam", "compare=false", "dataset.build.count=6", f"results={results}", *settings)
    return evaluate_job(load([*settings])).folders[0]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("real")
    return made(run(root), root / "claims")


@pytest.fixture(scope="module")
def chance(tmp_path_factory):
    """Two seeds of random points."""
    root = tmp_path_factory.mktemp("chance")
    return [
        made(run(root, "method=random", f"seed={seed}", "dataset.build.count=40"), root / "claims") for seed in (0, 1)
    ]


def test_drawn_pictures_are_evaluated_anew(place, capsys):
    status, report = verified(capsys, place, "--rerun", 2)
    assert (status, report["claims"][0]["verdict"]) == (0, "rerun 2 of 6")
    assert lines(report, "rerun")[-1][1].startswith(tuple("123456789"))
    assert "points equal, 0 within 1 px" in lines(report, "rerun")[-1][1]
    assert "the data that lie here" in lines(report, "data")[-1][1]
    assert any("are those of resnet50" in text for _, text in lines(report, "data"))
    status, report = verified(capsys, place, "--all")
    assert (status, report["claims"][0]["verdict"]) == (0, "fully rerun")


def test_everybody_draws_the_same_and_nobody_chooses(place, tmp_path):
    read = claim.load(place)
    assert rerun.drawn(read, 3) == rerun.drawn(claim.load(copied(place, tmp_path)), 3)
    assert rerun.drawn(read, None) == sorted(set(read.run.rows["key"]))
    words = claim.load(resealed(place, tmp_path, claim=lambda said: said.update(text="another word")))
    assert rerun.drawn(words, 3) == rerun.drawn(read, 3), "words of the author draw nothing"
    draws = {tuple(rerun.drawn(claim.load(resealed(place, tmp_path, rows=moved(by))), 2)) for by in range(1, 6)}
    assert len(draws) > 1, "rows do"


def moved(by):
    def change(frame):
        frame.loc[0, "score"] += by
        return frame

    return change


def test_rows_of_two_seeds_are_named(chance, tmp_path, capsys):
    first, second = (claim.load(each).run.rows for each in chance)
    best = first["inside"] >= second["inside"]

    def mixed(frame):
        for name in ("x", "y", "inside", "distance"):
            frame[name] = frame[name].where(best, second[name])
        return frame

    def scores(said):
        said["scores"] = []

    forged = resealed(chance[0], tmp_path, rows=mixed, claim=scores)
    texts = faults(verified(capsys, forged, "--all")[1])
    assert any(f"{(~best).sum()} of {len(best)} points are others: " in text for text in texts), texts
    assert verified(capsys, chance[0], "--all")[0] == 0


def test_rows_of_another_input_are_named(place, tmp_path, capsys):
    def other(info):
        info["identity"]["input"]["side"] = info["protocols"][0]["input"]["side"] = 96

    texts = faults(verified(capsys, resealed(place, tmp_path, run=other), "--all")[1])
    assert any("points are others" in text for text in texts), texts


def test_weights_other_than_named_are_named_twice(place, tmp_path, capsys):
    def other(info):
        info["identity"]["model"]["weights"] = "0" * 16

    forged = resealed(place, tmp_path, run=other)
    assert "weights 0000000000000000 are not those of resnet50" in faults(verified(capsys, forged)[1])[0]
    texts = faults(verified(capsys, forged, "--rerun", 1)[1])
    assert any("model.weights is" in text and "the claim says 0000000000000000" in text for text in texts)


def test_settings_other_than_those_that_made_the_rows_are_named(place, tmp_path, capsys):
    def other(info):
        info["config"]["method"]["build"]["relu"] = True

    texts = faults(verified(capsys, resealed(place, tmp_path, run=other), "--rerun", 1)[1])
    assert any("method.build.relu is True here, the claim says False" in text for text in texts), texts


def test_data_that_lie_here_betray_edited_rows(place, tmp_path, capsys):
    def other(frame):
        frame.loc[0, ["inside", "distance"]] = not frame.loc[0, "inside"], float(frame.loc[0, "inside"])
        return frame

    forged = resealed(place, tmp_path, rows=other)
    assert any("the row was edited" in text for text in faults(verified(capsys, forged, "--rerun", 1)[1]))


STRANGE = {
    "a callable": ("method", "_target_", "os.getcwd"),
    "a module in a setting": ("method", "source", "this.d"),
    "a file": ("model", "weights", "/etc/hostname"),
    "an address": ("model", "arch", "hf-hub:somebody/something"),
}


@pytest.mark.parametrize("what", STRANGE)
def test_a_config_that_leads_out_of_this_suite_runs_nothing(what, place, tmp_path, capsys):
    part, name, value = STRANGE[what]

    def other(info):
        info["config"][part]["build"][name] = value

    report = Report(place)
    read = claim.load(resealed(place, tmp_path, run=other))
    rerun.rerun(read, report, rerun.Wish(1), print)
    assert [(line.what, value in line.text) for line in report.lines] == [("note", True)]
    assert "this" not in sys.modules, "not even imported"
    assert not report.passed("rerun")


def test_places_come_from_whoever_runs_it(place, tmp_path):
    def other(info):
        info["config"]["model"]["build"]["checkpoint"] = "mine.pth"

    read = claim.load(resealed(place, tmp_path, run=other))
    with pytest.raises(ValueError, match=r"run\.json says where model\.checkpoint lies"):
        rerun.config_of(read, [])
    with pytest.raises(ValueError, match="--data takes"):
        rerun.config_of(claim.load(place), ["results=elsewhere"])
    assert rerun.config_of(claim.load(place), ["model.checkpoint=w.pth"]).model.build.checkpoint == "w.pth"


def test_code_that_came_with_a_claim_runs_where_it_is_trusted(tmp_path, capsys, monkeypatch):
    code = tmp_path / "code"
    code.mkdir()
    (code / "claimed_method.py").write_text(METHOD)
    monkeypatch.syspath_prepend(str(code))
    folder = run(tmp_path, "method=custom", "method.build._target_=claimed_method.explain", "method.name=mine")
    place = made(folder, tmp_path / "claims")
    monkeypatch.undo()
    sys.modules.pop("claimed_method")
    (code / "claimed_method.py").unlink()
    assert (place / "code/claimed_method.py").read_text() == METHOD
    status, report = verified(capsys, place, "--rerun", 2)
    assert status == 0
    assert "runs only with --trust-code" in lines(report, "rerun")[0][1]
    assert "claimed_method" not in sys.modules
    before = list(sys.path)
    assert verify.main([str(place), "--rerun", "2", "--trust-code"]) == 0
    assert (sys.path, "claimed_method" in sys.modules) == (before, False), "the next claim may bring another one"
    out = capsys.readouterr().out
    assert f"{place / 'code/claimed_method.py'}, sha256 " in out.splitlines()[0], "said before it runs"
    assert "rerun 2 of 6" in out
    other = copied(place, tmp_path / "other")
    (other / "code/claimed_method.py").write_text(METHOD.replace("mean", "amax"))
    texts = faults(verified(capsys, resealed(other, tmp_path / "again"))[1])
    assert texts == ["code/claimed_method.py is not what the rows were made with"]


def test_another_machine_makes_the_same_claim(place, tmp_path, monkeypatch):
    """Another path, other shards in another order, resumed, pictures read by other processes. GradCAM's last digits
    depend on the number of threads (eval/records/README.md), so that is the same."""
    results = tmp_path / "elsewhere"
    run(results, "shard=2/2", "limit=4")
    run(results, "shard=2/2", "sync=second", "device=cpu")
    folder = run(results, "shard=1/2", "save_maps=true", "workers=0")
    info = json.loads((folder / "run.json").read_text())
    info["provenance"] |= {"date": "2031-01-01T00:00:00+00:00", "hardware": "another machine, 64 cores"}
    (folder / "run.json").write_text(json.dumps(info))
    other = made(folder, tmp_path / "claims")
    assert other.name == place.name
    for path in sorted(place.iterdir()):
        same = (other / path.name).read_bytes() == path.read_bytes()
        assert same == (path.name not in (*OF_MACHINES, "SHA256SUMS")), path.name
    assert "another machine, 64 cores" in (other / "environment.txt").read_text()
    assert str(tmp_path) not in "".join(path.read_text("latin-1") for path in other.iterdir())


def site(claims, out, *more) -> list[str]:
    """The section about maps on the page of each claim."""
    assert leaderboard([*map(str, claims), "--out", str(out), *more]) == 0
    pages = [(out / f"{folder.read(each).digest}.html").read_text() for each in claims]
    return [re.search(r'<section aria-labelledby="h-maps">.*?</section>', page, re.DOTALL)[0] for page in pages]


def test_a_page_shows_maps_where_the_pictures_are_at_hand(place, tmp_path, capsys):
    moved_ = resealed(place, tmp_path, rows=other_point, run=lambda i: i["identity"].update(seed=1))
    shown, other = site([place, moved_], tmp_path / "site", "--data", "device=cpu")
    read = claim.load(place)
    rows = read.run.rows[read.run.rows["key"].isin(rerun.drawn(read, 4))].set_index(["key", "label"])
    found = re.findall(r'<img src="([^"]+)" alt="([^,]+), ([^:]+): highest point \(([^,]+), ([^)]+)\)', shown)
    assert [(key, label) for _, key, label, *_ in found] == list(rows.index)
    for path, key, label, x, y in found:
        assert (float(x), float(y)) == (rows.loc[(key, label), "x"], rows.loc[(key, label), "y"])
        with Image.open(tmp_path / "site" / path) as image:
            assert image.width > image.height > 100
    assert f"{len(rows)} of {len(rows)} points equal" in shown
    assert "<img" not in other, "maps of other points than the claim's are none of the claim"
    assert "points are others" in other
    without = site([place], tmp_path / "site")[0]
    assert "built without pictures" in without
    assert not (tmp_path / "site/maps").exists(), "nothing stays that was not asked for"


def other_point(frame):
    return frame.assign(y=(frame["y"] + 9) % frame["height"])


def test_pictures_that_do_not_lie_here_are_no_rerun(place, tmp_path, capsys):
    elsewhere = resealed(place, tmp_path, rows=lambda f: f.assign(key="x" + f["key"]))
    report = Report(elsewhere)
    assert rerun.rerun(claim.load(elsewhere), report, rerun.Wish(2)) == []
    assert [(line.what, line.text) for line in report.lines] == [
        ("note", "6 pictures do not lie here; so none is evaluated anew")
    ]
