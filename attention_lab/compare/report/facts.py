"""Facts that describe a comparison: the header of reports, and the settings of rows."""

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
    "position": _positions(comparison),
    "training": _training(comparison),
    "seeds": seeds(comparison),
    "hardware": comparison.provenance.get("device", ""),
    "code": _commit(comparison.provenance.get("commit", "")),
    "versions": _versions(comparison.provenance.get("versions", "")),
    "date": comparison.provenance.get("date", "").replace("; ", ", "),
    "joined": counted(len(comparison.joined), "folder") * (len(comparison.joined) > 1),
  }
  return {name: text for name, text in found.items() if text}


def setting(comparison: Comparison, row: Row, key: str) -> Any:
  """Return a row's value of any setting; None if it is unknown."""
  found = value(comparison, row, key)
  return comparison.settings.get(key) if found is None else found


def sizes(comparison: Comparison, row: Row) -> dict[str, Any]:
  """Return the sizes of a row's model that are known; an unset d_ff is 4 · d_model.

  The number of parameters is that of its first run that has recorded it.
  """
  found = {name: setting(comparison, row, key) for name, key in SIZES.items()}
  if found["d_ff"] is None and SIZES["d_ff"] in comparison.settings:
    found["d_ff"] = 4 * found["d_model"]
  found["parameters"] = parameters(row)
  return {name: size for name, size in found.items() if size is not None}


def _each(comparison: Comparison, key: str) -> str:
  """Return the values of a setting over the rows that matching did not add."""
  values = [setting(comparison, row, key) for row in comparison.rows if not row.matched]
  return listed(list(dict.fromkeys(value_text(v) for v in values if v is not None)))


def _positions(comparison: Comparison) -> str:
  """Return the positional schemes that --position=auto chose, with their rows."""
  rows: dict[str, list[str]] = {}
  for row in comparison.rows:
    if setting(comparison, row, "position") == "auto" and row.runs and not row.matched:
      rows.setdefault(row.runs[0].summary.get("position", ""), []).append(row.name)
  if len(rows) == 1:
    return next(iter(rows))
  return "; ".join(f"{name} in {listed(each)}" for name, each in rows.items())


def _model(comparison: Comparison) -> str:
  """Return the sizes of the models, each with its values in the order of the rows."""
  by_size: dict[str, list[str]] = {}
  for row in comparison.rows:
    for name, size in sizes(comparison, row).items() if not row.matched else ():
      by_size.setdefault(name, []).append(str(size))
  values = {name: listed(list(dict.fromkeys(all_))) for name, all_ in by_size.items()}
  words = [f"{values[n]} {n}" for n in ("layers", "heads") if n in values]
  words += [f"{n} {values[n]}" for n in ("d_model", "d_ff") if n in values]
  first = comparison.rows[0]
  if count := parameters(first):
    words.append(f"{count:,} parameters in {first.name}")
  return ", ".join(words)


def parameters(row: Row) -> int | None:
  """Return the number of parameters of a row's model; None if it is unknown."""
  counts = [run.summary.get("parameters") for run in row.runs]
  return next((int(count) for count in counts if count), None)


def seeds(comparison: Comparison) -> str:
  """Return the number of seeds per row, which may differ between joined folders."""
  counts = sorted({len(row.runs) for row in comparison.rows})
  if not comparison.joined or counts == [comparison.seeds]:
    return f"{comparison.seeds} per row"
  if len(counts) == 1:
    return f"{counts[0]} per row, {comparison.seeds} different ones"
  return f"{counts[0]} to {counts[-1]} per row"


def _training(comparison: Comparison) -> str:
  words = [counted(comparison.steps, "step")]
  if size := _each(comparison, BATCH_SIZE):
    words.append(f"batch size {size}")
  if rate := _each(comparison, RATE):
    tuned = " (tuned)" * any(RATE in row.chosen for row in comparison.rows)
    words.append(f"learning rate {rate}{tuned}")
  if order := comparison.settings.get(DATA_ORDER):
    words.append(ORDERS[order])
  return ", ".join(words)


def _versions(texts: str) -> str:
  """Return the packages whose version differs between runs, with their versions."""
  found: dict[str, list[str]] = {}
  for text in texts.split("; "):
    for package, _, version in (word.partition(" ") for word in text.split(", ")):
      found.setdefault(package, []).append(version)
  return ", ".join(
    f"{package} {listed(list(dict.fromkeys(each)))}"
    for package, each in found.items()
    if len(set(each)) > 1
  )


def _commit(texts: str) -> str:
  """Return commits, shortened, with what is said of uncommitted changes."""
  words = [text.partition(" ") for text in texts.split("; ") if text]
  return ", ".join(f"commit {w[0][:_COMMIT]}{w[1]}{w[2]}" for w in words)
