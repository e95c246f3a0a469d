"""Facts that describe a comparison: the header of reports, and the settings of rows."""

from collections.abc import Mapping
from typing import Any

from attention_lab.compare.analysis.pairs import value
from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.wording import counted, listed, value_text

# Name in results.jsonl and results.csv → setting.
SIZES = {
  "d_model": "model.d_model",
  "d_ff": "model.d_ff",
  "layers": "model.num_layers",
  "heads": "model.num_heads",
}
RATE = "train.learning_rate"
BATCH_SIZE = "batch_size"
DATA_ORDER = "train.data_order"
ORDERS = {
  "seed": "examples in another order for each seed",
  "shared": "examples in the same order for all seeds",
}
_COMMIT = 10  # Digits of a commit that the header shows.


def header(comparison: Comparison) -> dict[str, str]:
  """Return the facts that a reader needs first, by name; what is unknown is left out."""
  found = {
    "dataset": _each(comparison, "dataset"),
    "model": _model(comparison),
    "training": _training(comparison),
    "seeds": f"{comparison.seeds} per row",
    "hardware": comparison.provenance.get("device", ""),
    "code": _commit(comparison.provenance.get("commit", "")),
    "date": comparison.provenance.get("date", "").replace("; ", ", "),
  }
  return {name: text for name, text in found.items() if text}


def setting(comparison: Comparison, row: Row, key: str) -> Any:
  """Return a row's value of any setting; None if it is unknown."""
  found = value(comparison, row, key)
  return comparison.settings.get(key) if found is None else found


def sizes(comparison: Comparison, row: Row) -> dict[str, Any]:
  """Return the sizes of a row's model that are known; an unset d_ff is 4 · d_model."""
  found = {name: setting(comparison, row, key) for name, key in SIZES.items()}
  if found["d_ff"] is None and SIZES["d_ff"] in comparison.settings:
    found["d_ff"] = 4 * found["d_model"]
  return {name: size for name, size in found.items() if size is not None}


def _each(comparison: Comparison, key: str) -> str:
  """Return the values of a setting over the rows that matching did not add."""
  values = [setting(comparison, row, key) for row in comparison.rows if not row.matched]
  return listed(list(dict.fromkeys(value_text(v) for v in values if v is not None)))


def _model(comparison: Comparison) -> str:
  """Return the sizes of the models, each with its values in the order of the rows."""
  by_size: dict[str, list[str]] = {}
  for row in comparison.rows:
    for name, size in sizes(comparison, row).items() if not row.matched else ():
      by_size.setdefault(name, []).append(str(size))
  values = {name: listed(list(dict.fromkeys(all_))) for name, all_ in by_size.items()}
  words = [f"{values[n]} {n}" for n in ("layers", "heads") if n in values]
  words += [f"{n} {values[n]}" for n in ("d_model", "d_ff") if n in values]
  return ", ".join(words + _parameters(comparison.rows[0]))


def _parameters(row: Row) -> list[str]:
  found: list[Mapping[str, Any]] = [run.summary for run in row.runs]
  counts = [each["parameters"] for each in found if each.get("parameters")]
  return [f"{counts[0]:,} parameters in {row.name}"] if counts else []


def _training(comparison: Comparison) -> str:
  words = [counted(comparison.steps, "step")]
  if size := _each(comparison, BATCH_SIZE):
    words.append(f"batch size {size}")
  if rate := _each(comparison, RATE):
    words.append(f"learning rate {rate}")
  if order := comparison.settings.get(DATA_ORDER):
    words.append(ORDERS[order])
  return ", ".join(words)


def _commit(texts: str) -> str:
  """Return commits, shortened, with what is said of uncommitted changes."""
  words = [text.partition(" ") for text in texts.split("; ") if text]
  return ", ".join(f"commit {w[0][:_COMMIT]}{w[1]}{w[2]}" for w in words)
