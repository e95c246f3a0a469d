"""Results at other lengths: estimates by row and length, with the length of training."""

import csv
import io

import pytest

from attention_lab.compare.analysis import statistics
from attention_lab.compare.analysis.lengths import by_length
from attention_lab.compare.analysis.record import Row
from attention_lab.compare.report.latex import latex
from attention_lab.compare.report.markdown import report
from attention_lab.compare.report.page import report as page
from attention_lab.compare.report.results import table
from tests.compare.report.made_up import comparison, failed, row, run

pytest.importorskip("scipy")


def measured(name, at, trained=32, primary="accuracy", **more):
  """Return a row with two seeds, the second worse by 0.1 at each length.

  The validation accuracy, at the length of training, is 0.95 and 0.85.
  """
  runs = [
    run(
      seed,
      1.5,
      accuracy=0.95 - 0.1 * seed,
      primary=primary,
      sequence_length=trained,
      lengths={
        str(n): {"loss": 2.0, "accuracy": a - 0.1 * seed} for n, a in at.items()
      },
      **more,
    )
    for seed in (0, 1)
  ]
  return Row(name, {}, "", runs)


ROPE = measured("rope", {64: 0.4, 16: 0.5})
ALIBI = measured("alibi", {16: 0.9})
PLAIN = row("plain", [1.5, 1.6])  # Evaluated at no other length.


def test_rows_have_an_estimate_at_each_length_and_at_that_of_training():
  (found,) = by_length(comparison(ROPE, ALIBI, PLAIN))
  assert (found.metric.key, found.trained) == ("accuracy", 32)
  assert found.lengths == [16, 32, 64]
  assert {name: list(row) for name, row in found.rows.items()} == {
    "rope": [16, 32, 64],
    "alibi": [16, 32],
  }
  estimate = found.rows["rope"][64]
  assert estimate[:3] == statistics.interval([0.4, 0.4 - 0.1], scale="logit")
  assert found.rows["alibi"][32].by_seed == pytest.approx({0: 0.95, 1: 0.85})


def test_a_measurement_at_the_length_of_training_is_kept():
  (found,) = by_length(comparison(measured("rope", {32: 0.6})))
  assert found.rows["rope"][32].by_seed == pytest.approx({0: 0.6, 1: 0.5})


def test_other_metrics_and_lengths_of_training_have_tables_of_their_own():
  found = by_length(
    comparison(
      ROPE,
      measured("long", {16: 0.5}, trained=64),
      measured("text", {16: 0.5}, primary="loss"),
      measured("old", {16: 0.5}, trained=None),
    )
  )
  assert [(t.metric.key, t.trained, list(t.rows)) for t in found] == [
    ("accuracy", 32, ["rope"]),
    ("accuracy", 64, ["long"]),
    ("loss", 32, ["text"]),
    ("accuracy", None, ["old"]),
  ]
  assert found[3].lengths == [16]  # It is not known at which length it was trained.


def test_failed_runs_and_runs_without_a_leak_check_are_left_out():
  leaky = measured("leaky", {16: 1.0}, leak_check="skipped")
  partly = ROPE._replace(runs=[*ROPE.runs[:1], failed(1)])
  (found,) = by_length(comparison(leaky, partly))
  assert {name: row[16].by_seed for name, row in found.rows.items()} == {
    "rope": {0: 0.5}
  }
  assert by_length(comparison(PLAIN)) == []


def test_the_table_is_in_every_report():
  made = comparison(ROPE, ALIBI, PLAIN, seeds=2)
  text = report(made)
  assert "## Top-1 accuracy (%) by length in tokens\n\n" in text
  assert "| row | 16 | 32 (trained) | 64 |\n" in text
  line = text.partition("| row | 16 | 32 (trained)")[2].splitlines()[2]
  assert line.startswith("| rope | 45.00 [")
  assert "| 90.00 [" in line
  (alibi,) = (t for t in text.splitlines() if t.startswith("| alibi | 85.00 ["))
  assert alibi.endswith(" | – |")
  html = page(made)
  section = html.partition('<table class="sortable" id="table-lengths-1">')[2]
  section = section.partition("</table>")[0]
  assert "32 (trained)" in section
  assert section.count("<tr>") == 1 + 2
  assert section.count("<td>–</td>") == 1
  records = list(csv.DictReader(io.StringIO(table(made))))
  names = [name for name in records[0] if "_at_" in name]
  assert names == ["accuracy_at_16", "accuracy_at_64", "loss_at_16", "loss_at_64"]
  at_64 = [record["accuracy_at_64"] for record in records[:3]]
  assert at_64 == ["0.4", str(0.4 - 0.1), ""]
  tex = latex(made)
  assert tex.count(r"\begin{table}") == 2
  second = tex.rpartition(r"\begin{table}")[2]
  assert r"row & 16 & 32 (trained) & 64 \\" in second
  assert r"rope & 45.00 & 90" in second


def test_reports_without_other_lengths_have_no_table():
  made = comparison(PLAIN, seeds=2)
  assert "by length" not in report(made)
  assert latex(made).count(r"\begin{table}") == 1
  assert "table-lengths" not in page(made)
