# ruff: noqa: E402
"""report.html in headless Chromium: it sorts, loads nothing, fits phones and paper.

Skipped if playwright or Chromium is missing (`pip install -e '.[browser]'`).
"""

import itertools
import shutil
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Tuned
from attention_lab.compare.report.latex import latex
from attention_lab.compare.report.page import report
from attention_lab.compare.report.results import table
from tests.compare.report.drawn import comparison

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed.")
RATES = [{"train.learning_rate": rate} for rate in (1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)]
SCORES = {"loss": [[2.0 + 0.1 * i, 2.1 + 0.1 * i] for i in range(len(RATES))]}
DRAWN = comparison(points=5)
COMPARISON = DRAWN._replace(
  rows=[
    row._replace(tuned=Tuned("loss", RATES, SCORES, 0), chosen=RATES[0])
    for row in DRAWN.rows
  ]
)
# Chromium itself asks for updates and hosts of its maker otherwise.
OFFLINE = [
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-gpu",
  "--disable-quic",
  "--disable-sync",
  "--no-first-run",
]
PAPER = 1040  # Pixels of the width of A4 landscape inside the margins.
LOSS = "#table-results thead th:nth-child(3)"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  path = tmp_path_factory.mktemp("page") / "report.html"
  path.write_text(report(COMPARISON), "utf-8")
  return path


@pytest.fixture(scope="module")
def browser():
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OFFLINE)
    yield browser
    browser.close()


@pytest.fixture
def page(browser, file):
  """Yield the opened page; fail if it logs a message or sends a request."""
  page = browser.new_page(viewport={"width": 1280, "height": 900})
  messages, requests = [], []
  page.on("console", lambda message: messages.append(message.text))
  page.on("pageerror", lambda error: messages.append(str(error)))
  page.on("request", lambda request: requests.append(request.url))
  page.goto(file.as_uri())
  yield page
  page.close()
  assert not messages
  loaded = [url for url in requests if not url.startswith("data:")]
  assert loaded == [file.as_uri()]


def column(page, number):
  cells = page.locator(f"#table-results tbody td:nth-child({number})")
  return [float(text.split()[0]) for text in cells.all_inner_texts()]


def test_click_on_heading_sorts(page):
  before = column(page, 3)
  page.click(f"{LOSS} button")
  assert before != sorted(before)
  assert column(page, 3) == sorted(before)
  assert page.get_attribute(LOSS, "aria-sort") == "ascending"
  page.click(f"{LOSS} button")
  assert column(page, 3) == sorted(before, reverse=True)
  assert page.get_attribute(LOSS, "aria-sort") == "descending"


def test_keyboard_sorts(page):
  button = page.locator(f"{LOSS} button")
  for _ in range(20):
    page.keyboard.press("Tab")
    if button.evaluate("button => button === document.activeElement"):
      break
  assert button.evaluate("button => getComputedStyle(button).outlineStyle") == "solid"
  page.keyboard.press("Enter")
  assert column(page, 3) == sorted(column(page, 3))


def test_names_sort_as_text(page):
  page.click("#table-results thead th:nth-child(1) button")
  names = page.locator("#table-results tbody th").all_inner_texts()
  assert names == sorted(names)


def test_every_figure_is_visible_and_has_alternative_text(page):
  figures = page.locator("figure")
  assert figures.count() == (1 + 3) + (3 + 1) + 1 + 1 + 6 + 1 + 4
  for i in range(figures.count()):
    drawing = figures.nth(i).locator(".drawing").first
    box = drawing.bounding_box()
    assert box["width"] > 250
    assert box["height"] > 100
    assert drawing.get_attribute("aria-label")


def test_row_can_be_hidden(page):
  line = page.locator("#loss-steps .series-1").last
  assert line.is_visible()
  page.click("section:has(#loss-steps) .legend button[data-series='1']")
  assert not line.is_visible()


def test_chosen_layer_and_head_are_shown(page):
  page.select_option("#layer", "2")
  page.click("#maps-1 .cell[data-layer='2'][data-head='3']")
  assert page.input_value("#head") == "3"
  assert page.inner_text("#maps-0 .where") == "Layer 2, head 4"
  pitch, side = 20, 19
  view = page.get_attribute("#maps-0 .window", "viewBox")
  assert view == f"{3 * pitch} {1 * pitch} {side} {side}"


def test_page_fits_a_phone(page):
  page.set_viewport_size({"width": 390, "height": 800})
  for details in page.locator("details").all():
    details.evaluate("details => { details.open = true; }")
  assert page.evaluate("document.documentElement.scrollWidth") <= 390
  for selector in (".legend li", "figure", "figcaption", "caption span", ".button"):
    for box in page.locator(selector).all():
      found = box.bounding_box()
      assert found["x"] >= 0, selector
      assert found["x"] + found["width"] <= 390, selector
  box = page.locator(".scroll").first
  assert box.evaluate("box => box.scrollWidth > box.clientWidth")
  name = page.locator("#table-results tbody th").first
  before = name.bounding_box()["x"]
  box.evaluate("box => { box.scrollLeft = 200; }")
  assert name.bounding_box()["x"] == pytest.approx(before, abs=1)


def test_dark_and_light_schemes_differ(page):
  colours = []
  for scheme in ("light", "dark"):
    page.emulate_media(color_scheme=scheme)
    colours += [
      page.evaluate(
        """() => [
          getComputedStyle(document.body).backgroundColor,
          getComputedStyle(document.querySelector("#loss-steps text")).fill,
          getComputedStyle(document.querySelector("#loss-steps .series-1 use")).fill,
        ]"""
      )
    ]
  assert all(light != dark for light, dark in zip(*colours, strict=True))


def test_legend_wraps_on_a_phone(page):
  page.set_viewport_size({"width": 390, "height": 800})
  entries = page.locator("section:has(#loss-steps) .legend li").all()
  assert len({entry.bounding_box()["y"] for entry in entries}) > 1


def test_print_shows_all_columns_of_all_tables(page):
  page.set_viewport_size({"width": PAPER, "height": 700})
  page.emulate_media(media="print")
  page.wait_for_function("[...document.querySelectorAll('details')].every(d => d.open)")
  tables = page.locator("table").all()
  # Results, differences, tuning, by seed, other lengths, settings.
  assert len(tables) == 1 + 2 + 1 + 4 + 1 + 1
  for table_ in tables:
    for cell in table_.locator("tr").first.locator("th").all():
      box = cell.bounding_box()
      assert box["x"] >= 0
      assert box["x"] + box["width"] <= PAPER
  assert page.evaluate(CUT) == []
  for selector in ("select", ".button", ".anchor", ".arrow"):
    assert not any(each.is_visible() for each in page.locator(selector).all()), selector
  page.emulate_media(media="screen")
  page.wait_for_function(
    "[...document.querySelectorAll('details')].every(d => !d.open)"
  )


def test_print_fits_every_metric_at_once(browser, tmp_path):
  more = {"bits_per_character": 2.31, "sequence_accuracy": 0.51, "above_best": 1.2}
  more |= {"bleu": 31.25, "chrf": 55.12}
  rows = [
    row._replace(
      runs=[run._replace(summary={**run.summary, **more}) for run in row.runs]
    )
    for row in COMPARISON.rows
  ]
  path = tmp_path / "report.html"
  path.write_text(report(COMPARISON._replace(rows=rows)), "utf-8")
  page = browser.new_page(viewport={"width": PAPER, "height": 700})
  page.goto(path.as_uri())
  page.emulate_media(media="print")
  assert page.locator("#table-results thead th").count() == 2 + len(METRICS)
  assert page.evaluate(CUT) == []
  assert page.evaluate("document.documentElement.scrollWidth") <= PAPER
  page.close()


# Elements of tables whose content is wider than they are, and regions that would scroll.
CUT = """() => [...document.querySelectorAll(".scroll, .scroll td, .scroll th")]
  .filter((each) => each.scrollWidth > each.clientWidth + 1)
  .map((each) => each.outerHTML)"""


def test_print_is_light_on_a_dark_screen(page):
  page.emulate_media(media="print", color_scheme="dark")
  paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
  assert paper == "rgb(253, 253, 251)"


def test_pdf_has_landscape_pages(page):
  content = page.pdf(prefer_css_page_size=True)
  assert b"841.9" in content or b"842" in content


@pytest.mark.parametrize(
  ("name", "content"),
  [("results.csv", table(COMPARISON)), ("results.tex", latex(COMPARISON))],
)
def test_button_downloads_the_file(page, name, content):
  with page.expect_download() as started:
    page.click(f".button[download='{name}']")
  assert started.value.suggested_filename == name
  assert Path(started.value.path()).read_text("utf-8") == content


def test_link_of_a_row_is_shown_on_hover_and_focus_and_leads_to_it(page):
  link = page.locator("#table-results tbody .anchor").nth(1)
  opacity = "link => getComputedStyle(link).opacity"
  assert link.evaluate(opacity) == "0"
  page.hover("#table-results tbody tr:nth-child(2) th")
  assert link.evaluate(opacity) == "1"
  page.hover("h1")
  link.focus()
  assert link.evaluate(opacity) == "1"
  page.keyboard.press("Enter")
  assert page.evaluate("location.hash") == "#row-selective"
  assert page.locator("#row-selective:target").count() == 1


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_series_differ_in_colour_dashes_and_marker(page, scheme):
  page.emulate_media(color_scheme=scheme)
  seen = page.evaluate(
    """() => [0, 1, 2, 3].map((i) => {
      const groups = document.querySelectorAll(`#loss-steps g.series-${i}`);
      const line = groups[groups.length - 1];
      const path = getComputedStyle(line.querySelector("path"));
      return [path.stroke, path.strokeDasharray, line.querySelector("defs path")
        .getAttribute("d")];
    })"""
  )
  for one, other in itertools.combinations(seen, 2):
    assert all(a != b for a, b in zip(one, other, strict=True))
