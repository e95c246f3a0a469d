"""report.html is complete, well-formed, safe and small for every kind of comparison."""

import base64
import itertools
import re
from html.parser import HTMLParser

import numpy as np
import pytest

pytest.importorskip("jinja2")
pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from attention_lab.compare.analysis.aggregate import aggregate
from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Comparison, Maps, Row
from attention_lab.compare.analysis.sentences import sentence
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.report import results, tasks
from attention_lab.compare.report.facts import header
from attention_lab.compare.report.figures import maps
from attention_lab.compare.report.figures.palette import Palette
from attention_lab.compare.report.latex import latex
from attention_lab.compare.report.page import report, strokes
from tests.compare.analysis import test_aggregate
from tests.compare.report import drawn, made_up

HOSTILE = "<script>alert('$x$ & \"y\"')</script>"
VOID = {"meta", "link", "br", "input", "image"}
LOADS = ("src", "href", "xlink:href", "action", "poster", "data")
RATE = "train.learning_rate"


class Page(HTMLParser):
  """Parsed page: checks that elements are balanced; has ids, headings, text and loads."""

  def __init__(self, text):
    super().__init__()
    self.open, self.ids, self.headings, self.loads = [], [], [], []
    self.scripts, self.text = 0, ""
    self.feed(text)
    self.close()
    assert not self.open

  def handle_starttag(self, tag, attributes):
    self.handle_startendtag(tag, attributes)
    if tag not in VOID:
      self.open.append(tag)

  def handle_startendtag(self, tag, attributes):
    found = dict(attributes)
    assert len(found) == len(attributes), (tag, attributes)
    self.ids += [found["id"]] if "id" in found else []
    self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
    self.loads += [found[name] for name in LOADS if name in found]
    self.scripts += tag == "script"

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text += data


def small(rows):
  """Return a comparison without costs whose last row has a failed seed."""
  return drawn.comparison(rows, points=3, layers=1, heads=1)._replace(costs=())


def hostile():
  """Return a comparison in which every free text is markup."""
  rows = small(2).rows
  changed = rows[1]._replace(
    name=HOSTILE,
    settings={"attention": HOSTILE, HOSTILE: HOSTILE},
    matched=HOSTILE,
    runs=[*rows[1].runs[:3], made_up.failed(9, HOSTILE)],
    maps=Maps([HOSTILE, "</svg>"], np.ones((1, 1, 2, 2), np.float32), [1]),
  )
  swept = changed._replace(name=HOSTILE + "2", settings={HOSTILE: 0.1})
  return Comparison(
    HOSTILE,
    [rows[0], changed, swept],
    5,
    2000,
    {HOSTILE: HOSTILE},
    [r for r in drawn.costs(("standard", HOSTILE)) if r["kind"] == "decode"],
    {HOSTILE: 0.2},
  )


BARE = {
  "one row, one seed, no curve": made_up.comparison(
    made_up.row("standard", [1.5]), seeds=1
  ),
  "failed rows": made_up.comparison(
    Row("standard", {}, "", [made_up.failed(0)]),
    Row("mine", {"attention": "mine"}, "", [made_up.failed(0), made_up.failed(1)]),
  ),
  "a failed baseline": made_up.comparison(
    Row("standard", {}, "", [made_up.failed(0)]), made_up.row("mine", [1.5, 1.6])
  ),
  "an unchecked row": made_up.comparison(
    made_up.row("standard", [1.5, 1.6]),
    Row("leaky", {}, "", [made_up.run(0, 0.01, leak_check="skipped")]),
  ),
  "maps of nothing": made_up.comparison(
    made_up.row("standard", [1.5])._replace(
      maps=Maps([], np.zeros((0, 0, 0, 0), np.float32), [])
    )
  ),
}


@pytest.fixture(scope="module")
def full():
  return report(drawn.comparison())


@pytest.fixture(scope="module")
def text_of_hostile():
  return report(hostile())


def test_page_is_well_formed(full):
  page = Page(full)
  assert len(set(page.ids)) == len(page.ids)
  used = re.findall(r'(?:url\(#|href="#|aria-labelledby=")([^")]+)', full)
  assert set(used) <= set(page.ids)


def test_headings_are_in_order(full):
  levels = Page(full).headings
  assert levels[0] == 1
  assert levels.count(1) == 1
  assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


def test_nothing_is_loaded(full):
  loads = Page(full).loads
  assert loads
  assert all(load.startswith(("#", "data:")) for load in loads)
  assert not re.search(r"https?:|url\((?!#)|@import|\bfetch\b|XMLHttp", full)


def test_every_figure_is_present(full):
  ids = set(Page(full).ids)
  assert {"loss-steps", "loss-seconds", "loss-flops", "lengths", "entropy"} <= ids
  assert {"cost-decode-memory", "cost-forward-time", "maps-0", "maps-3"} <= ids


def test_maps_name_their_axes_layers_and_heads():
  made = drawn.comparison()
  row = made.rows[0]
  hybrid = row.maps._replace(layers=[1, 2, 5, 9])
  page = report(made._replace(rows=[row._replace(maps=hybrid), made.rows[1]]))
  figure = page[page.index('<figure id="maps-0"') :].partition("</figure>")[0]
  texts = re.findall(r'<text class="axis"[^>]*>([^<]*)<', figure)
  numbers = [["attends to", "token", "head", "layer"], list("1234"), list("1259")]
  assert texts == [text for part in numbers for text in part]
  cells = re.findall(
    r'class="cell" data-layer="(\d)" data-head="3" x="\d+" y="(\d+)"', figure
  )
  assert cells == [("1", "0"), ("2", "20"), ("5", "40"), ("9", "60")]
  layers = re.search(r'<select id="layer">(.*?)</select>', page)[1]
  assert re.findall(r">(\d)<", layers) == list("123459")


def test_new_figures_are_present(full):
  ids = set(Page(full).ids)
  assert {"seeds-0", "gap-loss", "pareto-step_seconds-0", "pareto-parameters-0"} <= ids
  assert "pareto-state_bytes_16384-0" in ids


def test_every_drawing_says_what_it_shows(full):
  texts = re.findall(r'role="img" aria-label="([^"]*)"', full)
  assert len(texts) == 1 + 3 + 3 + 1 + 1 + 6 + 1 + 2 * 4
  results = [t for t in texts if not t.startswith("Attention map of")]
  assert all(re.search(r"\d", text) and "standard" in text for text in results[:-4])


def test_every_table_has_a_caption(full):
  assert full.count("<table") == full.count("<caption>")


def test_rows_and_figures_have_links(full):
  ids = set(Page(full).ids)
  assert {"row-standard", "row-selective"} <= ids
  anchors = re.findall(r'class="anchor" href="#([^"]+)"', full)
  assert len(anchors) == full.count("<figure") + 4
  assert set(anchors) <= ids


def test_header_and_files_are_in_the_page(full):
  made = drawn.comparison()
  assert all(text in Page(full).text for text in header(made).values())
  found = re.findall(r'download="([^"]+)" href="data:[^,]+;base64,([^"]+)"', full)
  assert {name: base64.b64decode(text).decode() for name, text in found} == {
    "results.csv": results.table(made),
    "results.tex": latex(made),
  }


def test_print_and_dark_scheme_are_styled(full):
  assert "@media print" in full
  assert "@page { size: A4 landscape" in full
  assert "@media screen and (prefers-color-scheme: dark)" in full


def test_text_in_figures_is_text(full):
  assert ">validation loss (nats)</text>" in full
  assert "DejaVu" not in full
  assert not re.search(r"#0[1234]0[0124]0", full), "a placeholder colour"


def test_numbers_agree_with_table():
  comparison = small(4)
  text = Page(report(comparison)).text
  for line in lines(comparison):
    assert sentence(line, comparison.seeds) in text
    for key, estimate in line.estimates.items():
      assert METRICS[key].text(estimate.mean) in text
      assert all(
        METRICS[key].text(value) in text for value in estimate.by_seed.values()
      )
    for key, difference in line.differences.items():
      assert METRICS[key].change(difference.low) in text


def test_results_over_tasks_are_a_table_with_intervals():
  made = test_aggregate.example()
  page = report(made)
  start = page.index('id="table-tasks"')
  body = page[start : page.index("</table>", start)]
  for each in aggregate(made, lines(made)).mechanisms:
    for cell in tasks.cells(each):
      assert cell.partition(" [")[0] in body
  drawn_at = [float(x) for x in re.findall(r'class="zero" x1="([\d.]+)"', body)]
  assert drawn_at == [6, 6]  # Both intervals are above 0, where the axis begins.
  assert body.count('class="reach"') == 2
  assert body.count('data-value="0.028">0.028<small>[') == 1
  assert "taken as exact" in page


def test_failures_are_shown(full):
  assert "RESOURCE_EXHAUSTED" in Page(full).text
  assert "1 failed" in Page(full).text


def test_text_of_users_is_escaped(text_of_hostile):
  page = Page(text_of_hostile)
  assert page.scripts == 1, "only the script of the page"
  assert page.text.count(HOSTILE) >= 10
  assert HOSTILE not in text_of_hostile


def test_same_comparison_gives_same_page(text_of_hostile):
  assert report(hostile()) == text_of_hostile


@pytest.mark.parametrize("name", BARE)
def test_incomplete_comparison_gives_a_page(name):
  text = report(BARE[name])
  page = Page(text)
  assert "maps" not in page.ids
  assert all(row.name in page.text for row in BARE[name].rows)
  assert "nan" not in page.text.lower().split()


def test_run_without_passed_leak_check_has_no_curve():
  comparison = small(2)
  leaky = [
    run._replace(summary={**run.summary, "leak_check": "skipped"}, curve=run.curve)
    for run in comparison.rows[1].runs
    if run.status == "finished"
  ]
  rows = [comparison.rows[0], comparison.rows[1]._replace(runs=leaky)]
  text = report(comparison._replace(rows=rows))
  for key in ("loss-steps", "loss-flops", "lengths"):
    drawing = text[text.index(f'<figure id="{key}"') :].split("</figure>")[0]
    assert 'class="series series-0"' in drawing
    assert 'class="series series-1"' not in drawing


def test_sweep_is_drawn():
  rows = (
    made_up.row("standard", [1.5, 1.6]),
    made_up.row("standard, 0.01", [1.7, 1.8], **{RATE: 0.01}),
  )
  baseline = {"attention": "standard", RATE: 0.001}
  page = Page(report(made_up.comparison(*rows, baseline=baseline)))
  assert "sweep-0" in page.ids
  assert f"Validation loss by {RATE}" in page.text


def test_crossings_are_described(full):
  text = Page(full).text
  assert "linear takes less time than standard from about 765 tokens on." in text
  assert "selective never takes less time than standard up to 4,096 tokens." in text


def test_page_is_small():
  text = "".join(chr(ord("a") + i % 26) for i in range(64))
  large = drawn.comparison(8, 5, 200, 6, 8, text, broken=False)
  assert len(report(large).encode()) < 2_000_000


def test_entropy_of_small_example_is_exact():
  """One token gives 0, two equal weights ln 2; queries without weights do not count."""
  weights = np.array([[[[1, 0], [3, -3]]], [[[0, 0], [2, 2]]]], np.float32)
  np.testing.assert_allclose(maps.entropies(weights), [np.log(2) / 2, np.log(2)])


def test_interval_is_drawn_to_scale():
  found = lines(small(3))
  differences = [found[i].differences["loss"] for i in (1, 2)]
  low = min(0, *(d.low for d in differences))
  width = max(0, *(d.high for d in differences)) - low
  stroke = strokes(found)[found[1].name, found[1].baseline, "loss"]
  assert stroke.zero == pytest.approx(-low / width)
  assert stroke.high == pytest.approx((differences[0].high - low) / width)


def test_each_row_that_a_row_names_has_a_line_of_differences():
  mine = made_up.row("mine", [1.2, 1.3], attention="mine")
  control = made_up.row("control", [1.4, 1.6], d_ff=320)
  rows = (
    made_up.row("standard", [1.5, 1.6]),
    control,
    mine._replace(against=("standard", "control")),
  )
  text = report(made_up.comparison(*rows, seeds=2, baseline={"d_ff": 256}))
  for other in ("standard", "control"):
    assert text.count(f"<small>minus {other}</small>") == 2  # Loss and accuracy.


def test_attention_has_colour_of_its_row():
  palette = Palette(["standard", "mine, d_ff 213", "mine"])
  assert [palette.index(name) for name in ("mine", "other", "standard")] == [2, 3, 0]
  assert Palette(["standard", "mine, d_ff 213"]).index("mine") == 1
