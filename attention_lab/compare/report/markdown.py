"""report.md: a comparison as text that GitHub, a terminal and an e-mail can show."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attention_lab.compare.analysis.aggregate import aggregate
from attention_lab.compare.analysis.differences import Difference
from attention_lab.compare.analysis.lengths import by_length
from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.parts import Parts, by_part
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import (
  NOT_COMPARED,
  estimate_text,
  sentence,
)
from attention_lab.compare.analysis.sweeps import Curve, sweeps
from attention_lab.compare.analysis.table import Line, lines
from attention_lab.compare.analysis.wording import p_value
from attention_lab.compare.report import reference, tasks, tuning
from attention_lab.compare.report.facts import header
from attention_lab.compare.report.section import Section
from attention_lab.compare.report.texts import (
  UNCHECKED,
  extent,
  leak_checks,
  metrics_of,
  notes,
  title,
)

# Markdown's special characters: of code, emphasis, tables, HTML, entities and links. A
# word's inner underscores, a lone < and & and brackets that open no link are none.
_SPECIAL = re.compile(
  r"[\\`*|]|<(?=\S)|&(?=[#\w]+;)|(?<!\w)_|_(?!\w)|~~|\](?=\s*[\[(:])|!(?=\[)"
  r"|(?<=https):|(?<=http):|(?<=ftp):|(?<=www)\.|@(?=\w)",
  re.IGNORECASE,
)


def report(comparison: Comparison) -> str:
  """Return the content of report.md."""
  rows = lines(comparison)
  sections = [
    f"# {_safe(title(comparison))}",
    extent(comparison),
    *_header(comparison),
    _verbatim(comparison.command),
    "\n".join(
      f"- **{_safe(line.name)}**: {_safe(sentence(line, comparison.seeds))}."
      for line in rows
    ),
    _results(rows),
    _safe(notes(comparison)),
    *_differences(rows),
    *_lengths(comparison),
    *_parts(comparison),
    *map(_section, tuning.sections(comparison)),
    *_tasks(comparison, rows),
    *map(_section, reference.sections(comparison)),
    *_by_seed(rows),
    *_matched(rows),
    *_failures(rows),
    *_sweeps(comparison),
    *_provenance(comparison),
  ]
  return "\n\n".join(sections) + "\n"


def _header(comparison: Comparison) -> Iterable[str]:
  """Yield the facts of the page's header."""
  found = header(comparison)
  if found:
    yield "\n".join(f"- {name}: {_safe(text)}" for name, text in found.items())


def _section(section: Section) -> str:
  tables = [
    f"{table.caption}:\n\n{_grid(table.head, table.body)}" for table in section.tables
  ]
  return "\n\n".join([f"## {section.heading}", *tables, section.note])


def _tasks(comparison: Comparison, rows: Sequence[Line]) -> Iterable[str]:
  """Yield the results over several tasks, if there are any."""
  found = aggregate(comparison, rows)
  if found is not None:
    body = [tasks.cells(each) for each in found.mechanisms]
    table = _grid(tasks.head(found), body)
    yield f"## {tasks.HEADING}\n\n{table}\n\n{_safe(tasks.explanation(found))}"


def _results(rows: Sequence[Line]) -> str:
  metrics = metrics_of(rows)
  head = ["row", "seeds", *(metric.heading for metric in metrics)]
  body = [
    [line.name, _status(line), *(_estimate(line, metric) for metric in metrics)]
    for line in rows
  ]
  return "## Results\n\n" + _grid(head, body)


def _status(line: Line) -> str:
  status = f"{len(line.seeds)} finished"
  failed = len(line.failed) - line.diverged
  status += f", {line.diverged} diverged" * bool(line.diverged)
  status += f", {failed} failed" * bool(failed)
  return status + f", {len(line.not_run)} not run" * bool(line.not_run)


def _estimate(line: Line, metric: Metric) -> str:
  if (estimate := line.estimates.get(metric.key)) is not None:
    return estimate_text(metric, estimate)
  return UNCHECKED if metric.predicts and line.unchecked else "–"


def _differences(rows: Sequence[Line]) -> Iterable[str]:
  """Yield a table for each tested metric in which any row is compared."""
  alone = [line for line in rows if line.unpaired]
  head = ["row", "compared with", "difference", "seeds", "p", "p (Holm)", "verdict"]
  for metric in METRICS.values():
    body = [
      [line.name, other, *_difference(metric, difference)]
      for line in rows
      for other, difference in line.differences_in(metric.key).items()
    ]
    if body:
      body += [[line.name, "–", "–", "–", "–", "–", NOT_COMPARED] for line in alone]
      unit = f" ({metric.difference_unit})" if metric.difference_unit else ""
      heading = f"## Difference in {metric.name}{unit}; {metric.better} is better"
      yield f"{heading}\n\n{_grid(head, body)}"


def _difference(metric: Metric, difference: Difference) -> list[str]:
  change = metric.change(difference.mean)
  if difference.low is not None and difference.high is not None:
    change += f" [{metric.change(difference.low)}, {metric.change(difference.high)}]"
  p_values = (difference.p, difference.p_holm)
  return [
    change,
    str(difference.seeds),
    *("–" if p is None else p_value(p) for p in p_values),
    difference.verdict,
  ]


def _lengths(comparison: Comparison) -> Iterable[str]:
  """Yield a table for each metric that was evaluated at other lengths."""
  for table in by_length(comparison):
    metric, lengths = table.metric, table.lengths
    body = [
      [name, *(estimate_text(metric, row[n]) if n in row else "–" for n in lengths)]
      for name, row in table.rows.items()
    ]
    heading = f"## {metric.heading.capitalize()} by length in tokens"
    yield f"{heading}\n\n{_grid(['row', *map(table.heading, lengths)], body)}"


def _parts(comparison: Comparison) -> Iterable[str]:
  """Yield a table of each row whose validation split has parts, by length and part."""
  for found in by_part(comparison):
    body = [
      [f"{n:,}", *(_cell(found, name, n) for name in found.names)]
      for n in found.lengths
    ]
    heading = f"## {found.metric.heading.capitalize()} of {_safe(found.row)} by part"
    yield f"{heading}\n\n{_grid(['tokens', *found.names], body)}"


def _cell(found: Parts, name: str, length: int) -> str:
  estimate = found.cells.get((name, length))
  return "–" if estimate is None else estimate_text(found.metric, estimate)


def _by_seed(rows: Sequence[Line]) -> Iterable[str]:
  metrics = [metric for metric in metrics_of(rows) if metric.predicts]
  body = [
    [line.name, str(seed), *(_value_of_seed(line, metric, seed) for metric in metrics)]
    for line in rows
    for seed in line.seeds
  ]
  if body:
    head = ["row", "seed", *(metric.heading for metric in metrics)]
    yield f"## Results by seed\n\n{_grid(head, body)}"


def _value_of_seed(line: Line, metric: Metric, seed: int) -> str:
  estimate = line.estimates.get(metric.key)
  if estimate is not None and seed in estimate.by_seed:
    return metric.text(estimate.by_seed[seed])
  return UNCHECKED if seed in line.unchecked else "–"


def _matched(rows: Sequence[Line]) -> Iterable[str]:
  notes = [
    f"- {_safe(line.name)}: {_safe(line.matched)}" for line in rows if line.matched
  ]
  if notes:
    yield "## Matched rows\n\n" + "\n".join(notes)


def _failures(rows: Sequence[Line]) -> Iterable[str]:
  notes = [
    f"- {_safe(line.name)}, seed {failure.seed}: {_safe(failure.error)}"
    for line in rows
    for failure in line.failed
  ]
  if notes:
    yield "## Failed runs\n\n" + "\n".join(notes)


def _sweeps(comparison: Comparison) -> Iterable[str]:
  loss = METRICS["loss"]
  for sweep in sweeps(comparison):
    values = sorted({value for curve in sweep.curves for value in curve.points})
    head = [sweep.setting, *(f"{value:g}" for value in values)]
    body = [
      [curve.name, *(_point(loss, curve, value) for value in values)]
      for curve in sweep.curves
    ]
    heading = f"## {loss.heading.capitalize()} by {_safe(sweep.setting)}"
    yield f"{heading}\n\n{_grid(head, body)}"


def _point(loss: Metric, curve: Curve, value: float) -> str:
  if value not in curve.points:
    return "–"
  estimate = curve.points[value]
  return "no loss" if estimate is None else estimate_text(loss, estimate)


def _provenance(comparison: Comparison) -> Iterable[str]:
  facts = [
    f"- {_safe(name)}: {_safe(text)}" for name, text in comparison.provenance.items()
  ]
  facts.append(f"- leak check: {_safe(leak_checks(comparison))}")
  yield "## Provenance\n\n" + "\n".join(facts)
  if comparison.baseline:
    keys = sorted(comparison.baseline)
    body = [
      [row.name, *(_setting(key, row.settings, comparison.baseline) for key in keys)]
      for row in comparison.rows
    ]
    yield "## Settings in which rows differ\n\n" + _grid(["row", *keys], body)


def _setting(key: str, settings: Mapping[str, Any], baseline: Mapping[str, Any]) -> str:
  return str(settings.get(key, baseline.get(key)))


def _grid(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
  """Return a GitHub table: names aligned left, all other columns right."""
  rule = [":--", *["--:"] * (len(head) - 1)]
  return "\n".join(
    "| " + " | ".join(cells) + " |"
    for cells in [
      [_safe(cell) for cell in head],
      rule,
      *([*map(_safe, r)] for r in body),
    ]
  )


def _verbatim(text: str) -> str:
  """Return text in a fence that is longer than any in it."""
  longest = max(map(len, re.findall("`+", text)), default=0)
  fence = "`" * max(3, longest + 1)
  return f"{fence}\n{text}\n{fence}"


def _safe(text: str) -> str:
  """Return text on one line, with Markdown's special characters escaped."""
  text = " ".join(str(text).split())
  return re.sub(_SPECIAL, r"\\\g<0>", text)
