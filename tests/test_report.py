"""The page: whole in one file, true to the rows, and usable: a browser clicks the filter and looks at the DOM."""

import json
import re
import shutil
from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from eval.datasets.voc import VOC
from eval.game.protocol import named_protocol
from eval.records import run_folder
from eval.records.rows import Rows
from eval.running.config import load
from eval.tables.resampling import kinds
from eval.tables.rules import Rule
from eval.tables.statistics import interval
from scripts.report.__main__ import main as report
from scripts.report.curves import path, tolerance_curve
from scripts.report.page import script_json
from tests.browser import CHROMIUM, Browser
from tests.synthetic_runs import SQUASHED, rows, rows_of_maps, write_run
from tests.voc_devkit import random_annotations, write

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """(page, rows by method): two methods with kept heat maps and the difficult flag on a small devkit."""
    from omegaconf import OmegaConf

    root = tmp_path_factory.mktemp("report")
    devkit = write(root, random_annotations(25, seed=3))
    config = OmegaConf.to_container(load(["dataset=pascal", f"dataset.root={devkit}", "model=vgg16"]), resolve=True)
    dataset, content = VOC(str(devkit)), {}
    for method, label, sharpness in (("gradcam", "GradCAM", 0.7), ("gpnncam", "GPNN-CAM <b>&</b>", 0.8)):
        who = run_folder.identity({"name": "pascal"}, {"name": "vgg16", "weights": "0"}, {"name": method}, SQUASHED, 0)
        folder = run_folder.folder(root, who)
        content[method] = rows_of_maps(dataset, folder, sharpness, seed=round(100 * sharpness))
        counts = {"all": len(content[method]), "diff": sum(row["difficult"] for row in content[method])}
        with Rows(folder) as out:
            for protocol in ("paper", "authors"):
                rule = asdict(named_protocol(protocol))
                run_folder.describe(folder, who, config, rule, counts, 0, list(dataset.classes), "cpu", label)
            out.append(content[method])
    page = root / "page.html"
    report(
        [
            "--records",
            str(root / "records"),
            "--output",
            str(page),
            "--gallery",
            "12",
            "--resamples",
            "100",
            "--no-recompute",
        ]
    )
    return page, content


def embedded(page) -> dict:
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)[1])


def test_the_page_is_one_file_without_network(site):
    text = site[0].read_text(encoding="utf-8")
    addresses = re.findall(r"""(?:src|href)\s*=\s*["']([^"']*)|url\(([^)]*)\)|@import""", text)
    assert all(address.startswith(("#", "data:")) for pair in addresses for address in pair if address)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text.split('id="data"')[0].split('id="origin"')[0])


def test_labels_are_text_never_markup(site):
    text = site[0].read_text(encoding="utf-8")
    assert "GPNN-CAM &lt;b&gt;&amp;&lt;/b&gt;" in text
    assert "GPNN-CAM <b>" not in text
    assert "</script>" not in script_json({"x": "</script><!--"})


def test_numbers_on_the_page_are_those_of_the_rows(site):
    page, content = site
    data = embedded(page)
    assert {(v["protocol"], v["subset"]) for v in data["views"]} == {
        (protocol, subset) for protocol in ("paper", "authors") for subset in ("all", "diff")
    }
    view = next(v for v in data["views"] if (v["protocol"], v["subset"]) == ("paper", "all"))
    for method in view["methods"]:
        plain = pd.DataFrame(content[method["name"]])
        assert method["value"] == pytest.approx(plain.inside.mean(), abs=1e-4)
        assert method["curve"][0] == method["value"]
        assert method["curve"][15] == pytest.approx((plain.distance < 15).mean(), abs=1e-4)
        by_class = plain.groupby("label").inside.mean()
        shown = dict(zip(view["classes"]["names"], view["classes"]["values"][method["name"]], strict=True))
        assert shown == pytest.approx(by_class.to_dict(), abs=1e-4)


def test_the_gallery_shows_rows_with_kept_maps_and_boxes(site):
    page, content = site
    data = embedded(page)
    papers = [item for item in data["items"] if item["protocol"] == "paper"]
    assert len(papers) == 12
    patterns = {tuple(answer["hit"] for answer in item["answers"]) for item in papers}
    assert patterns == {(a["inside"], b["inside"]) for a, b in zip(content["gradcam"], content["gpnncam"], strict=True)}
    assert {(True, False), (False, True)} <= patterns
    for item in papers:
        assert item["boxes"]
        for answer in item["answers"]:
            row = next(r for r in content[answer["method"]] if (r["key"], r["label"]) == (item["key"], item["label"]))
            assert (answer["x"], answer["y"], answer["hit"]) == (row["x"], row["y"], row["inside"])
            assert data["images"][answer["image"]].startswith("data:image/jpeg;base64,")


def test_the_curve_by_class_and_with_constant_maps():
    plain = pd.DataFrame(rows(40, 0.5, 1))
    curve = tolerance_curve(plain, Rule(replace(named_protocol("paper"), average="class")))
    assert curve[20] == pytest.approx((plain.distance < 20).groupby(plain.label).mean().mean())
    assert (np.diff(curve) >= 0).all()
    plain["constant"] = True
    assert not tolerance_curve(plain, Rule(named_protocol("paper"))).any()


def test_without_pictures_neither_data_nor_network_are_needed(tmp_path, capsys):
    write_run(tmp_path, "gradcam", rows(20, 0.5))
    report(["--records", str(tmp_path / "records"), "--output", str(tmp_path / "a" / "p.html"), "--gallery", "0"])
    assert embedded(tmp_path / "a" / "p.html")["items"] == []
    assert report(["--records", str(tmp_path / "none")]) == 1
    assert "holds no run" in capsys.readouterr().err


def test_pictures_that_are_gone_are_named_and_the_page_is_made(tmp_path, capsys):
    config = {"dataset": {"build": {"_target_": "eval.datasets.voc.VOC", "root": str(tmp_path / "gone")}}, "model": {}}
    write_run(tmp_path, "gradcam", rows(20, 0.5), config=config)
    report(["--records", str(tmp_path / "records"), "--output", str(tmp_path / "p.html")])
    assert "no pictures to show" in (tmp_path / "p.html").read_text(encoding="utf-8")
    assert "gone" in capsys.readouterr().err


@needs_browser
def test_a_browser_filters_switches_and_needs_no_mouse(site, tmp_path):
    page, _ = site
    data = embedded(page)

    def expected(protocol, hits=None, misses=None, subset="all"):
        actual = []
        for item in data["items"]:
            verdicts = {answer["method"]: answer["hit"] for answer in item["answers"]}
            if item["protocol"] == protocol and (subset == "all" or item["difficult"]):
                actual += [item["key"]] * (verdicts.get(hits, True) is True and verdicts.get(misses, False) is False)
        return actual

    shown = "[...document.querySelectorAll('#pictures .item')].map(e => e.dataset.key)"

    def select(name, value):
        element = f"document.getElementById('{name}')"
        browser.ask(f"{element}.value = {json.dumps(value)}")
        browser.ask(f"{element}.dispatchEvent(new Event('change', {{bubbles: true}}))")

    with Browser(page, tmp_path) as browser:
        select("protocol", "paper")
        assert browser.ask(shown) == expected("paper")
        browser.click("#pictures .frame")
        assert browser.ask("document.querySelectorAll('#large[open] .tile img').length") == 1, "pictures enlarge"
        browser.ask("document.getElementById('large').close(), 0")
        select("hits", "gpnncam")
        select("misses", "gradcam")
        assert browser.ask(shown) == expected("paper", "gpnncam", "gradcam") != expected("paper")
        hit = "[...document.querySelectorAll('#pictures [data-method=gpnncam]')].every(e => e.dataset.hit === 'true')"
        assert browser.ask(hit)
        browser.click("#swap")
        assert browser.ask(shown) == expected("paper", "gradcam", "gpnncam") != expected("paper", "gpnncam", "gradcam")
        assert (
            browser.ask("document.getElementById('shown').textContent")
            == f"{len(expected('paper', 'gradcam', 'gpnncam'))} of 12 pairs"
        )
        select("protocol", "authors")
        assert browser.ask(shown) == expected("authors", "gradcam", "gpnncam")
        browser.click("#clear")
        assert browser.ask(shown) == expected("authors")
        browser.click("#subset input[value=diff]")
        assert browser.ask(shown) == expected("authors", subset="diff")
        # A method is hidden by keyboard alone, from charts and pictures.
        drawn = "document.querySelectorAll('#curve .series').length"
        assert browser.ask(drawn) == 2
        browser.ask("document.querySelector('#legend button').focus()")
        browser.press(" ", 32, " ")
        assert browser.ask(drawn) == 1
        assert browser.ask("document.querySelector('#legend button').getAttribute('aria-pressed')") == "false"
        browser.press("Enter", 13, "\r")
        assert browser.ask(drawn) == 2
        # Nothing but the tables' own frames is wider than a phone.
        browser.send("Emulation.setDeviceMetricsOverride", width=360, height=740, deviceScaleFactor=2, mobile=True)
        browser.wait("document.documentElement.clientWidth === 360")
        assert browser.ask("document.documentElement.scrollWidth") == 360


def test_an_aborted_trial_does_not_cut_the_gallery(site, tmp_path):
    page, content = site
    root = page.parent
    shutil.copytree(root / "records", tmp_path / "records")
    who = run_folder.identity({"name": "pascal"}, {"name": "vgg16", "weights": "0"}, {"name": "trial"}, SQUASHED, 0)
    folder = run_folder.folder(tmp_path, who)
    some = next(iter((root / "records").glob("*.gradcam.*/run.json")))
    info = json.loads(some.read_text())
    with Rows(folder) as out:
        for rule in ("paper", "authors"):
            rules, counts = asdict(named_protocol(rule)), info["pairs"]
            run_folder.describe(folder, who, info["config"], rules, counts, 0, info["classes"], "cpu", "Trial")
        out.append(content["gradcam"][-3:])
    options = ["--gallery", "12", "--resamples", "100", "--no-recompute"]
    assert report(["--records", str(tmp_path / "records"), "--output", str(tmp_path / "p.html"), *options]) == 0
    papers = [item for item in embedded(tmp_path / "p.html")["items"] if item["protocol"] == "paper"]
    assert len(papers) == 12
    before = [item for item in embedded(page)["items"] if item["protocol"] == "paper"]
    assert [(i["key"], i["label"]) for i in papers] == [(i["key"], i["label"]) for i in before]
    three = {(row["key"], row["label"]) for row in content["gradcam"][-3:]}
    for item in papers:
        shown = {answer["method"] for answer in item["answers"]}
        assert ("trial" in shown) == ((item["key"], item["label"]) in three)


def test_of_several_seeds_the_gallery_shows_one_and_says_which(site, tmp_path):
    page, content = site
    root = page.parent
    shutil.copytree(root / "records", tmp_path / "records")
    some = json.loads(next(iter((root / "records").glob("*.gradcam.*/run.json"))).read_text())
    who = some["identity"] | {"seed": 7}
    folder = run_folder.folder(tmp_path, who)
    with Rows(folder) as out:
        for rule in ("paper", "authors"):
            rules, counts = asdict(named_protocol(rule)), some["pairs"]
            run_folder.describe(folder, who, some["config"], rules, counts, 0, some["classes"], "cpu", "GradCAM")
        out.append([row | {"x": 0.0, "y": 0.0} for row in content["gradcam"]])
    options = ["--gallery", "12", "--resamples", "100", "--no-recompute"]
    assert report(["--records", str(tmp_path / "records"), "--output", str(tmp_path / "p.html"), *options]) == 0
    assert "GradCAM (2 seeds): heat maps and points are those of seed 0." in (tmp_path / "p.html").read_text("utf-8")
    items = embedded(tmp_path / "p.html")["items"]
    assert len(items) == 24
    points = {(row["key"], row["label"]): (row["x"], row["y"]) for row in content["gradcam"]}
    for item in items:
        (answer,) = (each for each in item["answers"] if each["method"] == "gradcam")
        assert (answer["x"], answer["y"]) == pytest.approx(points[item["key"], item["label"]])
        assert answer["image"] is not None


def test_a_measure_s_curve_has_the_table_s_intervals(monkeypatch):
    plain = pd.DataFrame(rows(40, 0.5, seed=3))
    values = np.random.default_rng(0).random((len(plain), 3))
    values[0] = np.nan
    curve = SimpleNamespace(points=lambda counted: ([0, 0.5, 1], values))
    found = path(
        SimpleNamespace(rule=SimpleNamespace(score=SimpleNamespace(curve=curve)), counted=plain), resamples=4000
    )
    groups = kinds(plain["key"][1:], values[1:, 1])
    assert found["mean"] == pytest.approx(values[1:].mean(0), abs=1e-4)
    assert (found["low"][1], found["high"][1]) == pytest.approx(interval(groups, resamples=4000), abs=5e-3)
    assert all(low < mean < high for low, mean, high in zip(found["low"], found["mean"], found["high"], strict=True))
