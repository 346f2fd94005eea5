"""The page in a real browser: it is quiet, it fits, it sorts, and it can be read in the dark."""

import re
import shutil

import pytest

from breadth.evidence.report import render
from tests.evidence.test_report import made_up

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
EVIL = '<img src=x onerror="console.error(1)"><script>console.error(2)</script>'

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium found; on Debian: apt-get install chromium")


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser test needs playwright: breadth[dev]")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "page.html"
    studies = [made_up(), made_up(name="trees", failed="XGBoost", error=f"XGBoostError: {EVIL}")]
    path.write_text(render(studies), encoding="utf-8")
    return path.as_uri()


@pytest.fixture
def open_page(browser, address):
    """Opens the page and, at the end, checks that nothing was fetched and nothing went wrong."""
    opened, requests, complaints = [], [], []

    def visit(*, width=1200, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.on("request", lambda request: requests.append(request.url))
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield visit
    for page in opened:
        page.close()
    assert set(requests) == {address}
    assert complaints == []


def luminance(colour):
    """Relative luminance of a computed CSS colour (WCAG 2.2)."""
    channels = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def column(page, n):
    return (
        page.locator("table")
        .first.locator("tbody tr")
        .evaluate_all("(rows, n) => rows.map(row => row.cells[n].dataset.sort)", n)
    )


def test_every_plot_has_size(open_page):
    page = open_page()
    boxes = page.locator("svg.plot").evaluate_all("all => all.map(e => [e.clientWidth, e.clientHeight])")
    assert len(boxes) == 2 * 4
    assert all(width > 300 and height > 100 for width, height in boxes)


def test_clicking_a_head_sorts_numbers_as_numbers_and_again_turns_them_round(open_page):
    page = open_page()
    head = page.locator("table").first.locator("thead th").nth(2)
    before = column(page, 2)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert column(page, 2) == sorted(before, key=float)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "descending"
    assert column(page, 2) == sorted(before, key=float, reverse=True)


def test_what_was_not_measured_is_sorted_last_both_ways(open_page):
    page = open_page()
    button = page.locator("table").first.locator("thead button").nth(3)  # the baseline has no difference to itself
    for turn in (False, True):
        button.click()
        *known, last = column(page, 3)
        assert last == ""
        assert known == sorted(known, key=float, reverse=turn)


def test_a_table_sorts_by_keyboard(open_page):
    page = open_page()
    before = column(page, 0)
    page.locator("table").first.locator("thead button").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("table").first.locator("thead th").first.get_attribute("aria-sort") == "ascending"
    assert sorted(column(page, 0)) == sorted(before)
    assert column(page, 0) != before


@pytest.mark.parametrize("width", [360, 768, 1200])
def test_the_page_never_scrolls_sideways(open_page, width):
    page = open_page(width=width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_a_wide_table_scrolls_in_its_own_box(open_page):
    page = open_page(width=360)
    inner, outer = page.locator(".scroll").first.evaluate("e => [e.scrollWidth, e.clientWidth]")
    assert inner > outer


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "what", ["h2", ".quiet", ".fine", "figcaption", "td", "tr.ours th", ".why", ".signature dd", "svg.plot text"]
)
def test_text_stands_out_from_its_ground(open_page, scheme, what):
    page = open_page(scheme=scheme)
    # the nearest background that is not transparent; text in a plot has a fill
    pairs = page.locator(what).evaluate_all(
        """all => all.map(e => {
            const own = getComputedStyle(e);
            let ground = e;
            while (getComputedStyle(ground).backgroundColor === "rgba(0, 0, 0, 0)") ground = ground.parentElement;
            return [e instanceof SVGElement ? own.fill : own.color, getComputedStyle(ground).backgroundColor];
        })"""
    )
    assert pairs
    assert min(contrast(*pair) for pair in pairs) >= 4.5  # WCAG 2.2, level AA, text of any size


def test_the_dark_page_is_dark(open_page):
    def ground(page):
        return page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")

    assert luminance(ground(open_page(scheme="dark"))) < 0.05 < 0.9 < luminance(ground(open_page()))


def test_markup_in_an_error_is_text(open_page):
    page = open_page()
    assert page.locator("img").count() == 0
    assert page.locator(".why", has_text="console.error(2)").count() >= 1
