"""The page in a browser: labels that can be read, tables that fit, copies, and no mouse needed."""

import argparse
import re

import pytest

from eval.records.loading import load_runs, tell_apart
from eval.tables.formats import csv_text
from eval.tables.paired import paired_table
from eval.tables.rules import Changes
from eval.tables.sentence import sentence
from scripts.report.__main__ import main as report
from scripts.selection import add_selection, selected_frame
from tests.browser import CHROMIUM, Browser
from tests.synthetic_runs import rows, write_run

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)")
LONG = {"generator": {"sigma": 0.75, "noise": "grey"}, "layers": ["layer4", "layer3", "layer2"], "fusion": "product"}
ENDLESS = "a_name_of_seventy_characters_that_" + "x" * 36
METHODS = 33


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    """Runs of METHODS methods, most of which tie in result and cost; variants and one more have long names."""
    root = tmp_path_factory.mktemp("ties")
    for number in range(28):
        write_run(root, f"method{number:02d}", rows(30, 0.5, seed=number // 10), model="vgg16")
    write_run(root, ENDLESS, rows(30, 0.5), model="vgg16")
    for more in ({}, LONG, LONG | {"fusion": "sum"}, LONG | {"layers": ["layer4", "layer2"]}):
        write_run(root, "gpnncam", rows(30, 0.7), settings=more)
    return root / "records"


@pytest.fixture(scope="module")
def browser(records, tmp_path_factory):
    page = records.parent / "page.html"
    assert report(["--records", str(records), "--output", str(page), "--gallery", "0", "--resamples", "100"]) == 0
    with Browser(page, tmp_path_factory.mktemp("profile"), width=1280, patience=10) as opened:
        yield opened


def sized(browser, width):
    browser.send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.wait(f"window.innerWidth === {width}")
    # Charts are drawn again after the resize.
    browser.wait(f"document.querySelectorAll('#scatter .name').length === {METHODS}")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("chart", ["curve", "scatter"])
def test_no_label_overprints_another_or_leaves_its_chart(browser, chart, width):
    sized(browser, width)
    boxes = browser.ask(
        f"[...document.querySelectorAll('#{chart} .name')].map(e => {{ const b = e.getBBox();"
        "return [b.x, b.y, b.x + b.width, b.y + b.height, e.textContent]; })"
    )
    _, _, wide, high = map(
        float, browser.ask(f"document.querySelector('#{chart} svg').getAttribute('viewBox')").split()
    )
    assert len(boxes) == METHODS
    for x0, y0, x1, y1, _ in boxes:
        assert x0 >= 0
        assert x1 <= wide + 1
        assert y0 >= -6
        assert y1 <= high
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    # Lines of text may touch: what is drawn is lower than a line's box.
    over = [(a, b) for a, b in pairs if a[0] < b[2] and b[0] < a[2] and min(a[3], b[3]) - max(a[1], b[1]) > 3]
    assert over == []
    texts = [text for *_, text in boxes if text.startswith("GPNN")]
    assert len(set(texts)) == len(texts) == 4, "shortened variants stay apart"


@pytest.mark.parametrize("width", [1280, 390])
def test_a_long_name_hides_no_number_and_widens_no_page(browser, width):
    sized(browser, width)
    assert browser.ask("document.documentElement.scrollWidth") <= width
    hidden = browser.ask(
        "[...document.querySelectorAll('.sheet tbody tr')].filter(row => row.cells[0].getBoundingClientRect().right >"
        "row.cells[1].querySelector('.value').getBoundingClientRect().left + 1).length"
    )
    assert hidden == 0
    assert browser.ask("document.querySelector('#charts .swipe').nextElementSibling.className").startswith("scroll")
    swipe = "getComputedStyle(document.querySelector('#charts .swipe')).display !== 'none'"
    over = (
        "(() => { const f = document.querySelector('#charts .scroll'); return f.scrollWidth > f.clientWidth + 2; })()"
    )
    browser.wait(f"({swipe}) === ({over})")
    assert browser.ask(over) == (width == 390), "at 390 pixels columns lie beyond the edge, and a line says so"


def test_tables_are_copied_as_csv_and_latex(browser, records):
    sized(browser, 1280)
    browser.ask("navigator.clipboard.writeText = (text) => { window.clip = text; return Promise.resolve(); }, 0")
    browser.click("figure.sheet .copies button:nth-of-type(1)")
    browser.wait("window.clip")
    parser = argparse.ArgumentParser()
    add_selection(parser)
    frame = selected_frame(parser.parse_args(["--records", str(records), "--resamples", "100"]))
    assert browser.ask("window.clip") == csv_text(frame)
    assert browser.ask("document.querySelector('figure.sheet .copies output').textContent") == "CSV copied"
    browser.click("figure.sheet .copies button:nth-of-type(2)")
    browser.wait("window.clip.includes('begin{tabular}')")
    assert len(re.findall(r"^METHOD0\d* &", browser.ask("window.clip"), re.MULTILINE)) == 10
    browser.click("#charts .copies button:nth-of-type(1)")
    browser.wait("window.clip.startsWith('Per picture')")
    lines = browser.ask("window.clip").splitlines()
    assert len(lines) == METHODS + 1
    assert lines[0] == 'Per picture,result,seconds,forward passes,"peak memory, MB"'
    assert '"GPNNCAM [' in "\n".join(lines), "commas in a name are quoted"
    browser.click("#charts .copies button:nth-of-type(2)")
    browser.wait("window.clip.startsWith('\\\\begin{tabular}{lrrrr}')")


def test_all_of_it_by_keyboard(browser):
    sized(browser, 390)
    browser.ask("document.activeElement.blur(), scrollTo(0, 0), 0")
    where = "(e => e.id || e.className || e.textContent.trim())(document.activeElement)"

    def tab():
        browser.press("Tab", 9)
        return browser.ask(where)

    browser.ask("document.querySelector('.skip').focus()")
    assert browser.ask("document.querySelector('.skip').getBoundingClientRect().left") >= 0, (
        "seen once it has the focus"
    )
    browser.press("Enter", 13, "\r")
    browser.wait("location.hash === '#results'")
    visited = []
    for _ in range(80):
        visited.append(tab())
        outline = browser.ask("getComputedStyle(document.activeElement).outlineStyle")
        assert outline != "none", f"nobody sees that {visited[-1]} has the focus"
        if visited[-1].startswith("GPNN"):
            break
    for expected in ("Copy as CSV", "Copy as LaTeX", "protocol", "data-set"):
        assert expected in visited, f"{expected} is not reached by Tab"
    assert "all" in browser.ask("[...document.querySelectorAll('#subset input:checked')].map(e => e.value)")
    browser.press(" ", 32, " ")
    assert browser.ask("document.activeElement.getAttribute('aria-pressed')") == "false"
    browser.press(" ", 32, " ")
    # What lies beyond the edge of a table is scrolled to by an arrow key.
    browser.ask("document.querySelector('#charts .scroll').focus(), 0")
    assert browser.ask("document.activeElement.className").startswith("scroll")
    browser.press("ArrowRight", 39)
    browser.wait("document.querySelector('#charts .scroll').scrollLeft > 0")


def test_printed_it_leaves_no_page_almost_empty(browser):
    sized(browser, 1280)
    style = "getComputedStyle(e)"
    browser.send("Emulation.setEmulatedMedia", media="print")
    try:
        kept = browser.ask(
            "[...document.querySelectorAll('main > section, .sheet')].map(e => "
            f"[e.id || 'sheet', {style}.breakInside, {style}.breakBefore])"
        )
        shown = browser.ask(
            "[...document.querySelectorAll('.copies, .swipe, nav, footer')].filter("
            f"e => {style}.display !== 'none').length"
        )
        row = browser.ask("getComputedStyle(document.querySelector('.sheet tbody tr')).breakInside")
        whole = browser.ask(f"[...document.querySelectorAll('#cost, .controls .legend')].map(e => {style}.breakInside)")
        made = browser.ask("getComputedStyle(document.querySelector('.made')).display")
    finally:
        browser.send("Emulation.setEmulatedMedia", media="")
    assert {name for name, *_ in kept} >= {"results", "charts", "classes", "origin", "sheet"}
    assert all(rules == ["auto", "auto"] for _, *rules in kept), "what is longer than a page's rest begins on it"
    assert row == "avoid"
    assert made != "none", "in print the head says what the foot of the screen does"
    assert shown == 0
    assert whole == ["auto", "auto"], "a long cost table begins under its chart, and a gallery's pair may go on"


def test_every_measure_and_the_differences_are_sorted_and_narrowed(browser):
    """Of 33 methods: a column's name sorts down, then up; words leave the lines that hold all of them."""
    sized(browser, 1280)
    heads = browser.ask("[...document.querySelectorAll('#measures th[title]')].map(e => e.innerText)")
    assert [head.split() for head in heads] == [
        [name, "↑", "share"] for name in ("hit", "energy", "pixel_ap", "iou_best")
    ]
    column = "[...document.querySelectorAll('#measures tbody tr')].map(e => +e.cells[2].dataset.sort)"
    for turned in (True, False):
        browser.click("#measures th:nth-child(3) button")
        state = ["ascending", "descending"][turned]
        browser.wait(f"document.querySelector('#measures th:nth-child(3)').ariaSort === '{state}'")
        values = browser.ask(column)
        assert values == sorted(values, reverse=turned)
        assert len(set(values)) > 3
    assert browser.ask("document.querySelectorAll('#compared').length") == 0, "no reference among them"


def test_differences_from_a_reference_follow_the_measure(tmp_path):
    for data, pictures in (("demo", 12), ("pascal", 30)):
        for number, method in enumerate(("gradcam", "layercam", "gpnncam")):
            write_run(tmp_path, method, rows(pictures, 0.3 + 0.3 * number, number), dataset=data)
    records = ["--records", str(tmp_path / "records"), "--gallery", "0", "--resamples", "100"]
    page = tmp_path / "p.html"
    assert report([*records, "--measure", "energy", "--output", str(page)]) == 0
    text = page.read_text(encoding="utf-8")
    assert "pointing game" not in text.split("<main>")[0]
    assert "How near is near enough" not in text
    runs = load_runs(tmp_path / "records")[0]
    tell_apart(runs)
    subsets = {name: ("all", "diff")[: 1 + (name == "energy")] for name in ("hit", "energy", "pixel_ap", "iou_best")}
    expected = [
        sentence(line)
        for name, parts in subsets.items()
        for line in paired_table(
            runs, None, Changes(measure=name), subsets=parts, resamples=100, against="gradcam"
        ).itertuples()
    ]
    with Browser(page, tmp_path / "profile", width=390) as opened:
        lines = opened.ask("[...document.querySelectorAll('#compared tbody tr')].map(e => [e.title, e.innerText])")
        assert sorted(said for said, _ in lines) == sorted(expected)
        assert lines[0][1].split("\t")[1].split()[0] == "energy", "the page's own measure first"
        assert "VOC2007" in lines[0][1], "the data with the most pictures first"
        assert opened.ask("document.getElementById('data-set').value").startswith("Pascal")
        opened.ask("document.getElementById('find').value = 'gpnn DEMO', 0")
        opened.ask("document.getElementById('find').dispatchEvent(new Event('input')), 0")
        shown = opened.ask("[...document.querySelectorAll('#compared tbody tr')].filter(e => !e.hidden).length")
        assert shown == sum("GPNNCAM" in said and said.startswith("Demo") for said, _ in lines) > 0
        assert opened.ask("document.querySelector('#curve')") is None
        assert opened.ask("document.querySelectorAll('#scatter .series').length") == 3
        assert opened.ask("document.documentElement.scrollWidth") <= 390
