"""The section of reports on the weight of what answers depend on."""

import numpy as np

from attention_lab.compare.analysis.record import Maps, Reference
from attention_lab.compare.report import markdown, page, reference
from tests.compare.report import drawn


def compared(*references):
  """Return a comparison of rows with these shares, None for rows without weights."""
  found = drawn.comparison(
    len(references), seeds=1, points=2, layers=1, heads=1, text="ab", broken=False
  )
  rows = [
    row._replace(maps=each and row.maps._replace(reference=each))
    for row, each in zip(found.rows, references, strict=True)
  ]
  return found._replace(rows=rows, costs=())


SHARES = Reference([1, 3], np.array([[0.25, 0.5], [1, np.nan]], np.float32), 0.125)


def test_shares_are_shown_by_layer_and_head_beside_equal_weights():
  comparison = compared(SHARES, None)
  (section,) = reference.sections(comparison)
  (table,) = section.tables
  assert table.head == ["row", "layer", "equal weights", "head 1", "head 2"]
  assert table.body == [
    ["standard", "1", "0.125", "0.250", "0.500"],
    ["standard", "3", "0.125", "1.000", "–"],
    ["selective", "forms no weights", "–", "–", "–"],
  ]
  text = markdown.report(comparison)
  assert "| standard | 3 | 0.125 | 1.000 | – |" in text
  assert "| selective | forms no weights | – | – | – |" in text
  assert "<td>0.500</td>" in page.report(comparison)


def test_a_row_that_was_not_trained_is_not_said_to_form_no_weights():
  comparison = compared(SHARES, None)
  untrained = comparison.rows[1]._replace(runs=[])
  comparison = comparison._replace(rows=[comparison.rows[0], untrained])
  (section,) = reference.sections(comparison)
  assert section.tables[0].body[-1] == ["selective", "–", "–", "–", "–"]


def test_datasets_without_reference_have_no_section():
  comparison = drawn.comparison(1, seeds=1, points=2, layers=1, heads=1, broken=False)
  assert isinstance(comparison.rows[0].maps, Maps)
  assert reference.sections(comparison) == []
