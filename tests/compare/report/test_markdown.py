"""report.md: its content, and what it must not show."""

import json
from pathlib import Path

import pytest

from attention_lab.compare.analysis.record import Comparison, Row, Tuned
from attention_lab.compare.report.facts import header
from attention_lab.compare.report.latex import latex
from attention_lab.compare.report.markdown import report
from attention_lab.compare.report.results import jsonl, table
from tests.compare.report import drawn, made_up
from tests.compare.report.made_up import comparison, failed, row, run

pytest.importorskip("scipy")

BASE = [1.5, 1.6, 1.8]
RATE = "train.learning_rate"


def example():
  """Return a comparison with a row of every kind.

  A baseline, a better matched row, a tie, one seed, a failure, and an unpassed leak check.
  """
  mine = row("mine, d_ff 213", [1.4, 1.52, 1.71], attention="mine", d_ff=213)
  matched = "d_ff 213 instead of 256: 0.3 % fewer parameters"
  leaky = [run(0, 0.0125, leak_check="skipped")]
  return Comparison(
    command="python -m attention_lab.main --mode=compare",
    rows=(
      row("standard", BASE),
      mine._replace(matched=matched),
      row("tie", BASE, attention="tie"),
      row("few", [1.55], attention="few"),
      Row("broken", {"attention": "broken"}, "", [failed(0, "Got <3> | 4\nhere")]),
      Row("leaky", {"attention": "leaky"}, "", leaky),
    ),
    seeds=3,
    steps=2000,
    provenance={"jax": "0.9", "dataset's sha256": "abc"},
    baseline={"attention": "standard", "d_ff": 256},
    dataset="copy(sequence_length=8)",
  )


def test_whole_report_is_as_expected():
  expected = Path(__file__).with_name("expected_report.md").read_text("utf-8")
  assert report(example()) == expected


def test_header_is_that_of_the_page():
  found = drawn.comparison(3)
  text = report(found)
  for name, fact in header(found).items():
    assert f"- {name}: {fact}\n" in text
  assert "- hardware: 1 × Abacus 9000, 2 cores (cpu)\n" in text
  assert "- code: commit a4e6b1f000 with uncommitted changes\n" in text


def test_run_without_passed_leak_check_shows_no_loss():
  text = report(example())
  assert "0.0125" not in text
  assert "| leaky | 0 | leak check not passed | leak check not passed |" in text


def test_unmeasured_metric_is_a_dash():
  base = Row("standard", {}, "", [run(0, 1.5)])
  leaky = Row("leaky", {}, "", [run(0, 1.0, leak_check="skipped")])
  measured = {"standard": {"step_memory_bytes": 3 * 2**20}}
  text = report(comparison(base, leaky, row_costs=measured)).splitlines()
  (line,) = [t for t in text if t.startswith("| leaky | 1 finished")]
  assert line.endswith("| – |")
  assert any(t.startswith("| standard |") and t.endswith("| 3.0 |") for t in text)


def test_row_without_finished_run_shows_no_metrics():
  (line,) = [
    t for t in report(example()).splitlines() if t.startswith("| broken | 0 f")
  ]
  assert set(line.split(" | ")[2:]) == {"–", "– |"}


def test_differences_from_every_named_row_are_in_the_table_and_what_is_not_compared():
  mine = row("mine", [1.2, 1.31, 1.5], attention="mine")
  rows = (
    row("standard", BASE),
    row("control", [1.4, 1.5, 1.7], **{"model.d_ff": 320}),
    mine._replace(against=("standard", "control")),
    row("alone", BASE, attention="other", position="none"),
  )
  made = comparison(
    *rows,
    baseline={"attention": "standard", "position": "rope", "model.d_ff": 256},
    seeds=3,
  )
  text = report(made)
  table = text.partition("## Difference in validation loss")[2].partition("\n## ")[0]
  cells = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
  assert [(line[0], line[1], line[-1]) for line in cells[2:]] == [
    ("| mine", "standard", "better |"),
    ("| mine", "control", "better |"),
    ("| alone", "–", "not compared |"),
  ]
  record = [json.loads(line) for line in jsonl(made).splitlines()][6]
  assert record["baseline"] == "standard"
  assert list(record["further"]) == ["control"]
  assert record["further"]["control"]["loss"]["difference"] == pytest.approx(-0.59 / 3)


def test_sweep_is_a_table():
  rows = (
    row("standard", BASE),
    row("standard, 3e-4", [1.6, 1.7, 1.9], **{RATE: 3e-4}),
    Row("standard, 0.01", {RATE: 0.01}, "", [failed(0)]),
    row("mine", BASE, attention="mine"),
    row("mine, 3e-4", [1.7], attention="mine", **{RATE: 3e-4}),
  )
  text = report(comparison(*rows, baseline={"attention": "standard", RATE: 1e-3}))
  assert (
    f"""\
## Validation loss (nats) by {RATE}

| {RATE} | 0.0003 | 0.001 | 0.01 |
| :-- | --: | --: | --: |
| standard | 1.7333 [1.3925, 2.1575] | 1.6333 [1.2947, 2.0605] | no loss |
| mine | 1.7000 | 1.6333 [1.2947, 2.0605] | – |
"""
    in text
  )


def test_reports_do_not_depend_on_order_of_runs():
  found = example()
  reordered = found._replace(
    rows=[
      row._replace(
        runs=row.runs[::-1], settings=dict(reversed(list(row.settings.items())))
      )
      for row in found.rows
    ]
  )
  for content in (report, jsonl, table, latex):
    assert content(reordered) == content(found)


def test_tuning_has_a_table_of_what_was_tried_and_chosen():
  rates = [{"train.learning_rate": rate} for rate in (1e-3, 1e-2)]
  scores = {"loss": [[1.0, 1.2], [float("nan"), 3.0]]}
  found = Tuned("loss", rates, scores, 0)
  row = made_up.row("standard", [1.5, 1.6])._replace(tuned=found, chosen=rates[0])
  text = report(made_up.comparison(row, settings={"train.learning_rate": 6e-3}))
  assert "## Tuning" in text
  assert "Validation loss (nats) of tuning, means over 2 seeds:" in text
  assert "| row | learning rate 0.001 | learning rate 0.01 | chosen |" in text
  assert "| standard | 1.1000 | – | learning rate 0.001, the smallest" in text
  assert "larger" not in text
  assert "1 tuning run failed" in text
  assert "learning rate 0.001 (tuned)" in text
  assert "## Tuning" not in report(made_up.comparison(made_up.row("a", [1.0])))


@pytest.mark.parametrize(
  ("name", "shown"),
  [
    ("[a](http://x)", r"[a\](http\://x)"),
    ("![a](b)", r"\![a\](b)"),
    ("[a][b]", r"[a\][b]"),
    ("see https://x.org", r"see https\://x.org"),
    ("www.x.org", r"www\.x.org"),
    ("<b>", r"\<b>"),
    ("&lt;", r"\&lt;"),
    ("a|b", r"a\|b"),
    ("_a_ b_c", r"\_a\_ b_c"),
    ("*a* ~~b~~ `c`", r"\*a\* \~~b\~~ \`c\`"),
    ("a@b", r"a\@b"),
    ("a\n# b", "a # b"),
  ],
)
def test_name_is_shown_as_text(name, shown):
  text = report(comparison(row("standard", BASE), row(name, BASE, attention="x")))
  assert f"- **{shown}**: " in text
  assert f"\n| {shown} | " in text


def test_command_does_not_leave_its_block():
  made = comparison(row("standard", BASE), row("x", BASE, attention="x"))
  text = report(made._replace(command="a\n```\n[b](c)"))
  assert "\n````\na\n```\n[b](c)\n````\n" in text


def test_margin_of_a_stored_comparison_is_shown_as_text():
  made = comparison(row("standard", BASE), row("x", BASE, attention="x"))
  assert r"about [a\](b) alone" in report(made._replace(about="about [a](b)"))


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@x"])
def test_text_like_a_formula_is_not_one_in_a_table(name):
  made = comparison(row("standard", BASE), row(name, BASE, attention="x", rate=-1.5))
  lines = table(made).splitlines()
  assert any(line.startswith(f"'{name},") for line in lines)
  assert any(",-1.5," in line for line in lines)


@pytest.mark.parametrize("name", ["[1cm] x", "*x"])
def test_name_is_no_argument_in_latex(name):
  made = comparison(row("standard", BASE), row(name, BASE, attention="x"))
  assert f"\n    {{}}{name} & " in latex(made)
