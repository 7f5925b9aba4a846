"""The site of claims: what it says with and without JavaScript, in a browser, on two widths."""

import html
import json
import re

import numpy as np
import pandas as pd
import pytest

from eval.claims import claim, folder
from eval.claims.board import boards
from eval.claims.groups import letters, ranks, separation
from eval.tables.statistics import LEVEL, paired_test
from scripts.leaderboard.__main__ import main as leaderboard
from tests.browser import CHROMIUM, Browser
from tests.claim_cases import AUTHOR, VOC, claimable, copied, few_known, made, resealed, voc_claim
from tests.synthetic_runs import rows, write_run


def ordered(*arguments, **more) -> list[dict]:
    """`synthetic_runs.rows`, covering no less with more of the map."""
    covers = ("cover5", "cover10", "cover20")
    lines = rows(*arguments, **more)
    for line in lines:
        if line["cover5"] is not None:
            line |= dict(zip(covers, sorted(line[name] for name in covers), strict=True))
    return lines


NASTY = '<script>window.hurt = 1</script>"><b>'


def small(root, method, accuracy, seed, more=AUTHOR, **settings):
    """A claim about a data set of 120 pictures that nobody knows."""
    run = claimable(write_run(root / f"{method}{seed}", method, ordered(120, accuracy, seed), **settings), method)
    info = json.loads((run / "run.json").read_text())
    info["identity"]["dataset"]["build"] = {"_target_": "eval.datasets.folder.folder"}
    (run / "run.json").write_text(json.dumps(info))
    return made(run, root / "claims", more)


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    root = tmp_path_factory.mktemp("claims")
    chosen = [
        "--author",
        "B. Other",
        "--looked-at",
        "same",
        "all",
        "--tried",
        "12",
        "--stated",
        "paper",
        "all",
        "hit",
        "0.99",
    ]
    found = {
        "gradcam": small(root, "gradcam", 0.5, 1),
        "alike": small(root, "alike", 0.52, 2),
        "best": small(root, "best", 0.9, 3, [*chosen, "--url", "https://example.org/a?b=c&d"]),
        "nasty": small(root, "nasty", 0.6, 4, ["--author", NASTY, "--looked-at", "nothing"]),
        "other": small(root, "other", 0.7, 5, model="resnet50"),
    }
    verdict = {"by": "somebody", "date": "2026-12-01T00:00:00+00:00", "commit": None, "changed": False}
    verdict |= {"machine": "Linux", "claim": folder.read(found["best"]).digest, "holds": True}
    verdict |= {"verdict": "rerun 50 of 120", "steps": {}}
    (found["best"] / "verdicts").mkdir()
    (found["best"] / "verdicts/somebody.json").write_text(json.dumps(verdict))
    return found


@pytest.fixture(scope="module")
def site(claims, tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    assert leaderboard([*map(str, claims.values()), "--out", str(out)]) == 0
    return out


def lines_of(text: str) -> dict[str, list[str]]:
    """{title of a board: the text of each of its lines}."""
    found = {}
    for part in re.findall(r"<section id=\"board.*?</section>", text, re.DOTALL):
        title = html.unescape(re.search(r"<h2[^>]*>(.*?)</h2>", part)[1])
        body = re.search(r"<tbody>(.*?)</tbody>", part, re.DOTALL)[1]
        found[title] = [re.sub(r"<[^>]+>", " ", line) for line in body.split("</tr>")[:-1]]
    return found


def test_networks_and_subsets_never_share_a_table(site):
    found = lines_of((site / "index.html").read_text())
    assert {title: len(lines) for title, lines in found.items()} == {
        "Pascal VOC2007 · VGG16 · protocol paper · all pairs": 4,
        "Pascal VOC2007 · VGG16 · protocol paper · difficult pairs": 4,
        "Pascal VOC2007 · ResNet50 · protocol paper · all pairs": 1,
        "Pascal VOC2007 · ResNet50 · protocol paper · difficult pairs": 1,
    }


def test_a_line_says_place_group_interval_cost_and_what_was_looked_at(site, claims):
    lines = lines_of((site / "index.html").read_text())["Pascal VOC2007 · VGG16 · protocol paper · all pairs"]
    assert "BEST" in lines[0]
    first, gradcam, alike = (next(line for line in lines if name in line) for name in ("BEST", "GradCAM", "ALIKE"))
    for words in ("same", "12 tried", "rerun 50 of 120", "somebody", "paper: 0.99", "4.2"):
        assert words in first
    assert re.search(r"\s1\s+a\s", first)
    places = re.search(r"\s(\d)–(\d)\s", gradcam)
    assert places[0] in alike, "two that no test separates share their places"
    assert "not checked by others" in gradcam
    score = claim.load(claims["gradcam"]).said.scores[0]
    assert f"{score['low']:.4f}–{score['high']:.4f}" in gradcam


def test_a_difference_whose_interval_holds_0_is_not_bold(site):
    bold = re.findall(r"<td><b>([+−][\d.]+)</b><small>(.*?)</small>", (site / "index.html").read_text())
    plain = re.findall(r"<td>([+−][\d.]+)<small>(.*?)</small>", (site / "index.html").read_text())
    assert bold
    assert plain
    for found, same in ((bold, True), (plain, False)):
        for _, between in found:
            low, high = between.split(" … ")
            assert (low[0] == high[0]) == same


def test_rows_of_other_pictures_or_protocols_have_tables_of_their_own(claims, tmp_path):
    other = resealed(claims["alike"], tmp_path, rows=lambda f: f.assign(region="1" * 16))
    files = resealed(claims["alike"], tmp_path, rows=lambda f: f.assign(picture="2" * 16))
    weights = resealed(claims["alike"], tmp_path, run=lambda i: i["identity"]["model"].update(weights="3" * 16))
    read = [claim.load(each) for each in (claims["alike"], other, files, weights)]
    assert [len(board.entries) for board in boards(read, "gradcam")] == [1] * 8


def test_a_method_without_a_network_stands_on_every_board_of_its_pairs(claims, tmp_path):
    run = claimable(write_run(tmp_path, "blind", ordered(120, 0.3, 9, blind=True), model=None), "blind")
    info = json.loads((run / "run.json").read_text())
    info["identity"]["dataset"]["build"] = {"_target_": "eval.datasets.folder.folder"}
    (run / "run.json").write_text(json.dumps(info))
    read = [claim.load(each) for each in (claims["gradcam"], claims["other"], made(run, tmp_path / "claims"))]
    found = boards(read, "gradcam")
    assert sorted(len(board.entries) for board in found) == [2, 2, 2, 2]


def test_texts_of_a_claim_are_texts(site, claims):
    pages = [path.read_text() for path in site.glob("*.html")]
    assert len(pages) == 6
    assert not any("<script>window.hurt" in page for page in pages)
    assert sum(html.escape("<script>window.hurt") in page for page in pages) == 2


def test_a_claims_page_leads_to_its_files(site, claims):
    digest = folder.read(claims["best"]).digest
    page = (site / f"{digest}.html").read_text()
    for target in re.findall(r'href="(claims/[^"]+)"', page):
        assert (site / target).is_file()
    assert (site / "claims" / digest / "rows.parquet").read_bytes() == (claims["best"] / "rows.parquet").read_bytes()
    assert "pictures were used for choosing settings" in page
    assert "https://example.org/a?b=c&amp;d" in page
    assert "of this suite" in page
    assert "Pascal VOC2007, 255 of 255 pairs (no picture failed)" in page


def test_what_does_not_hold_is_left_out_and_named(claims, tmp_path, capsys):
    broken = copied(claims["alike"], tmp_path)
    (broken / "environment.txt").write_text("x")
    twice = resealed(claims["nasty"], tmp_path, claim=lambda said: said.update(author="C"))
    refuted = resealed(claims["best"], tmp_path, claim=lambda said: said.update(author="D"))
    (refuted / "verdicts").mkdir()
    verdict = json.loads((claims["best"] / "verdicts/somebody.json").read_text())
    verdict |= {"claim": folder.read(refuted).digest, "holds": False, "verdict": "does not hold"}
    (refuted / "verdicts/x.json").write_text(json.dumps(verdict))
    places = [claims["gradcam"], claims["nasty"], broken, twice, refuted]
    assert leaderboard([*map(str, places), "--out", str(tmp_path / "site")]) == 1
    err = capsys.readouterr().err
    assert "environment.txt was edited" in err
    assert "claim the same run" in err
    assert "is that it does not hold" in err
    assert "environment.txt was edited" in (tmp_path / "site/index.html").read_text()
    assert leaderboard([str(broken), "--out", str(tmp_path / "none")]) == 1
    assert "no claim is whole" in capsys.readouterr().err


@pytest.mark.parametrize("by_class", [False, True])
def test_a_separation_is_that_of_resampled_pictures(by_class):
    frame = pd.DataFrame(rows(400, 0.5, 0))
    hits = [
        pd.DataFrame(rows(400, accuracy, seed))["inside"].to_numpy(float)
        for accuracy, seed in ((0.5, 1), (0.55, 2), (0.58, 3))
    ]
    labels = frame["label"] if by_class else None
    found = separation(frame["key"], np.stack(hits, 1), labels)
    for one, other in ((0, 1), (0, 2), (1, 2)):
        test = paired_test(frame["key"], hits[one], hits[other], labels, resamples=20_000)
        assert found.difference[one, other] == pytest.approx(test.difference, abs=1e-12)
        width = test.high - test.low
        assert found.low[one, other] == pytest.approx(test.low, abs=0.04 * width)
        assert found.high[one, other] == pytest.approx(test.high, abs=0.04 * width)
        assert found.p[one, other] == pytest.approx(test.exchange, abs=0.06)
        inside = found.low[one, other] <= 0 <= found.high[one, other]
        assert inside == (found.p[one, other] >= 1 - LEVEL)


def test_few_pictures_separate_nothing_and_equal_methods_never():
    keys = pd.Series(["a", "a", "b", "c", "d"])
    values = np.stack([np.ones(5), np.zeros(5), np.zeros(5)], 1)
    found = separation(keys, values)
    assert not found.apart.any(), "four pictures, all alike: a sign test has p = 1/8"
    assert found.p[1, 2] == 1
    many = pd.Series([str(n) for n in range(300)])
    values = np.stack([np.ones(300), np.zeros(300), np.zeros(300)], 1)
    assert separation(many, values).apart.tolist() == [[False, True, True], [True, False, False], [True, False, False]]


def test_letters_and_places():
    apart = np.array([[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]], bool)
    assert letters(apart) == ["a", "a–b", "b–c", "c"]
    difference = np.subtract.outer([0.9, 0.8, 0.7, 0.6], [0.9, 0.8, 0.7, 0.6])
    assert ranks(apart, difference, False) == ["1–2", "1–3", "2–4", "3–4"]
    assert ranks(apart, -difference, True) == ["1–2", "1–3", "2–4", "3–4"]
    assert letters(np.zeros((3, 3), bool)) == ["a", "a", "a"]
    assert letters(~np.eye(30, dtype=bool))[25:28] == ["z", "aa", "ab"]


def test_pairs_of_known_sets_are_compared_by_verify_not_here(tmp_path):
    with few_known():
        place = voc_claim(tmp_path)
        assert claim.load(place).who["dataset"]["build"] == VOC
        assert leaderboard([str(place), "--out", str(tmp_path / "site")]) == 0


@pytest.fixture(scope="module")
def browser(site, tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no Chromium here (Debian: apt-get install chromium)")
    with Browser(site / "index.html", tmp_path_factory.mktemp("profile"), width=1280, patience=60) as opened:
        yield opened


FIRST = "[...document.querySelector('table.board').tBodies[0].rows]"
NAMES = f"{FIRST}.filter(row => !row.hidden).map(row => row.cells[0].querySelector('a').textContent)"


def test_heads_sort_and_sort_back(browser):
    before = browser.ask(NAMES)
    assert before[0] == "BEST"
    value = "table.board thead th:nth-child(2) button"
    browser.click(value)
    assert browser.ask(NAMES) == before[::-1]
    assert browser.ask("document.querySelector('table.board thead th:nth-child(2)').ariaSort") == "ascending"
    browser.click(value)
    assert browser.ask(NAMES) == before
    browser.click("table.board thead th:nth-child(1) button")
    assert browser.ask(NAMES) == sorted(before, key=str.lower)
    browser.click(value)
    browser.click(value)


def test_lines_are_filtered(browser):
    browser.click(".filters .clean")
    assert "BEST" not in browser.ask(NAMES)
    assert browser.ask("document.querySelector('.filters output').textContent") == "8 of 10 lines"
    browser.click(".filters .clean")
    browser.click(".filters .checked")
    assert browser.ask(NAMES) == ["BEST"]
    browser.click(".filters .checked")
    browser.ask("document.querySelector('.words').focus(), 0")
    browser.send("Input.insertText", text="alike")
    assert browser.ask(NAMES) == ["ALIKE"]
    browser.ask("(e => { e.value = ''; e.dispatchEvent(new Event('input')); })(document.querySelector('.words'))")
    assert len(browser.ask(NAMES)) == 4
    assert browser.ask("window.hurt === undefined")


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(browser, width, site, claims, tmp_path):
    browser.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    for page in ("index.html", f"{folder.read(claims['best']).digest}.html"):
        browser.send("Page.navigate", url=(site / page).resolve().as_uri())
        browser.wait(f"document.readyState === 'complete' && location.pathname.endsWith('{page}')")
        assert browser.ask("document.documentElement.scrollWidth") <= width
    browser.send("Page.navigate", url=(site / "index.html").resolve().as_uri())
    browser.wait("document.readyState === 'complete' && location.pathname.endsWith('index.html')")


def test_it_is_read_without_javascript(browser, site):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.send("Page.navigate", url=(site / "index.html").resolve().as_uri())
        browser.wait("document.readyState === 'complete'")
        assert browser.ask(f"{FIRST}.length") == 4
        assert browser.ask("document.querySelectorAll('table.board button').length") == 0
        assert browser.ask("getComputedStyle(document.querySelector('.filters')).display") == "none"
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
