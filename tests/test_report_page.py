"""The page in a browser: labels that can be read, tables that fit, copies, and no mouse needed."""

import argparse

import pytest

from eval.tables.formats import csv_text
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
    assert browser.ask("window.clip").count("METHOD0") == 10
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
