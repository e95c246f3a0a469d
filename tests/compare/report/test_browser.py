# ruff: noqa: E402
"""report.html in headless Chromium: it sorts, loads nothing and fits a phone.

Skipped if playwright or Chromium is missing (`pip install -e '.[browser]'`).
"""

import shutil

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from attention_lab.compare.report.page import report
from tests.compare.report.drawn import comparison

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed.")
LOSS = "#table-results thead th:nth-child(3)"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  path = tmp_path_factory.mktemp("page") / "report.html"
  path.write_text(report(comparison(points=5)), "utf-8")
  return path


@pytest.fixture(scope="module")
def browser():
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=CHROMIUM)
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
  assert figures.count() == 3 + 1 + 6 + 1 + 4
  for i in range(figures.count()):
    drawing = figures.nth(i).locator(".drawing").first
    box = drawing.bounding_box()
    assert box["width"] > 250
    assert box["height"] > 100
    assert drawing.get_attribute("aria-label")


def test_row_can_be_hidden(page):
  line = page.locator("#loss-steps .series-1").last
  assert line.is_visible()
  page.click(".legend button[data-series='1'] >> nth=0")
  assert not line.is_visible()


def test_chosen_layer_and_head_are_shown(page):
  page.select_option("#layer", "2")
  page.click("#maps-1 .cell[data-layer='2'][data-head='3']")
  assert page.input_value("#head") == "3"
  assert page.inner_text("#maps-0 .where") == "Layer 3, head 4"
  pitch, side = 20, 19
  view = page.get_attribute("#maps-0 .window", "viewBox")
  assert view == f"{3 * pitch} {2 * pitch} {side} {side}"


def test_page_fits_a_phone(page):
  page.set_viewport_size({"width": 390, "height": 800})
  for details in page.locator("details").all():
    details.evaluate("details => { details.open = true; }")
  assert page.evaluate("document.documentElement.scrollWidth") <= 390
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
