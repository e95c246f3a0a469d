"""The section of reports on reference attention: the weight on what answers depend on."""

import math
from collections.abc import Iterable

from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.report.section import Section, Table

NOTE = (
  "Share of the attention weight that falls on the tokens that an answer depends on, as "
  "the dataset gives them: the mean over the answers of the first validation examples, of "
  "one trained model per row. Equal weights: the share if all tokens that a query may "
  "attend to had the same weight."
)
NO_WEIGHTS = "forms no weights"


def sections(comparison: Comparison) -> list[Section]:
  """Return the section; none if the dataset gives no such tokens, or no row has weights."""
  known = [row.maps.reference for row in comparison.rows if row.maps]
  heads = max((each.shares.shape[1] for each in known if each), default=0)
  if not heads:
    return []
  head = ["row", "layer", "equal weights", *(f"head {i + 1}" for i in range(heads))]
  body = [
    cells + (len(head) - len(cells)) * ["–"]
    for row in comparison.rows
    for cells in _lines(row)
  ]
  table = Table("Share of attention weight by layer and head", head, body)
  return [Section("reference", "Attention to what answers depend on", [table], NOTE)]


def _lines(row: Row) -> Iterable[list[str]]:
  """Yield the cells of each layer that forms weights, from the left."""
  if row.maps is None or row.maps.reference is None:
    trained = any(run.status == "finished" for run in row.runs)
    yield [row.name, NO_WEIGHTS if trained else "–"]
    return
  layers, shares, uniform = row.maps.reference
  for number, heads in zip(layers, shares, strict=True):
    values = ["–" if math.isnan(share) else f"{share:.3f}" for share in heads]
    yield [row.name, str(number), f"{uniform:.3f}", *values]
