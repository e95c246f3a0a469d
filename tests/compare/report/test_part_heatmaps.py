"""Tables and heatmaps of a metric by part of the validation split and length."""

import re

from attention_lab.compare.analysis.parts import by_part
from attention_lab.compare.analysis.record import Row
from attention_lab.compare.report.figures.heatmaps import part_heatmaps
from attention_lab.compare.report.markdown import report
from tests.compare.report.made_up import comparison, row, run

NAMES = ("depth 0 %", "depth 100 %")


def measured(values):
  keys = (f"sequence_accuracy/{name}" for name in NAMES)
  return {"loss": 1.0, "accuracy": 0.5, **dict(zip(keys, values, strict=True))}


def made():
  """Return a comparison of a row with parts, over two seeds, and one without."""
  runs = [
    run(
      seed,
      1.0,
      sequence_length=64,
      validation=measured((0.5 + 0.25 * seed, 1.0)),
      lengths={"128": measured((0.0, 0.25))},
    )
    for seed in (0, 1)
  ]
  return comparison(Row("selective", {}, "", runs), row("plain", [1.0, 1.1]))


def test_cells_are_means_over_seeds_by_part_and_length():
  (found,) = by_part(made())
  assert (found.row, found.metric.key) == ("selective", "sequence_accuracy")
  assert list(found.names) == list(NAMES)
  assert found.lengths == [64, 128]
  means = {at: cell.mean for at, cell in found.cells.items()}
  assert means == {
    (NAMES[0], 64): 0.625,
    (NAMES[1], 64): 1.0,
    (NAMES[0], 128): 0.0,
    (NAMES[1], 128): 0.25,
  }


def test_a_heatmap_shows_each_cell_and_names_the_worst():
  (figure,) = part_heatmaps(made())
  texts = re.findall(r">\s*([^<>\s][^<>]*?)\s*<", figure.svg)
  for text in ("62.50", "100.00", "0.00", "25.00", *NAMES, "64", "128"):
    assert text in texts
  assert "worst: depth 0 % of 128 tokens" in figure.caption


def test_the_report_has_a_table_of_each_row_with_parts():
  text = report(made())
  (table,) = re.findall(r"## .* of selective by part\n\n(.*?)\n\n", text, re.DOTALL)
  assert "| tokens | depth 0 % | depth 100 % |" in re.sub(" +", " ", table)
  assert "62.50" in table
  assert "of plain by part" not in text
