"""report.html: a comparison as a single file that loads nothing."""

import base64
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple, TypeVar

from attention_lab.compare.analysis.aggregate import aggregate
from attention_lab.compare.analysis.differences import Difference
from attention_lab.compare.analysis.lengths import Lengths, by_length
from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import estimate_text, sentence
from attention_lab.compare.analysis.statistics import Interval
from attention_lab.compare.analysis.sweeps import sweeps
from attention_lab.compare.analysis.table import Line, lines
from attention_lab.compare.analysis.wording import counted, p_value
from attention_lab.compare.cells import folder_name
from attention_lab.compare.report import latex, reference, results, tasks, texts, tuning
from attention_lab.compare.report.facts import header
from attention_lab.compare.report.figures.costs import costs
from attention_lab.compare.report.figures.curves import curves, lengths
from attention_lab.compare.report.figures.differences import gaps
from attention_lab.compare.report.figures.heatmaps import heatmaps, part_heatmaps
from attention_lab.compare.report.figures.maps import entropy, sheets
from attention_lab.compare.report.figures.marks import swatch
from attention_lab.compare.report.figures.palette import Palette
from attention_lab.compare.report.figures.pareto import pareto
from attention_lab.compare.report.figures.seeds import dots
from attention_lab.compare.report.figures.svg import Figure
from attention_lab.compare.report.figures.sweeps import sweep
from attention_lab.compare.report.figures.tuning import tuning_curves
from attention_lab.errors import not_installed


class Key(NamedTuple):
  """Entry of a legend."""

  name: str
  number: int  # Index of the colour.


class Group(NamedTuple):
  """Figures that share a legend."""

  title: str
  keys: Sequence[Key]  # () if the figures name their rows.
  figures: Sequence[Figure]
  tables: Sequence[Lengths] = ()


class Download(NamedTuple):
  """File that the page contains."""

  name: str
  label: str
  uri: str  # Data URI of its content.


class Stroke(NamedTuple):
  """Positions of a difference, its interval and 0, as fractions of an axis."""

  mean: float
  low: float
  high: float
  zero: float


def report(comparison: Comparison) -> str:
  """Return the content of report.html.

  Raises:
    UserError: Jinja2, matplotlib or scipy is not installed.
  """
  template = _template()
  rows = lines(comparison)
  palette = Palette([line.name for line in rows])
  pooled = aggregate(comparison, rows)
  return str(
    template.render(
      comparison=comparison,
      title=texts.title(comparison),
      facts=header(comparison),
      lines=rows,
      sentence=lambda line: sentence(line, comparison.seeds),
      metrics=texts.metrics_of(rows),
      tested=[
        m for m in METRICS.values() if any(r.differences_in(m.key) for r in rows)
      ],
      groups=_groups(comparison, rows, palette),
      sheets=sheets(comparison),
      strokes=strokes(rows),
      tasks=tasks,
      pooled=pooled,
      scores=_strokes({m.name: m.score for m in pooled.mechanisms}, (0.0, 1.0))
      if pooled
      else {},
      settings=sorted({*comparison.baseline, *(k for r in rows for k in r.settings)}),
      notes=texts.notes(comparison),
      sections=[*tuning.sections(comparison), *reference.sections(comparison)],
      unchecked=texts.UNCHECKED,
      leak_checks=texts.leak_checks(comparison),
      estimate_text=estimate_text,
      counted=counted,
      p_value=p_value,
      palette=palette,
      swatch=swatch,
      anchor=lambda name: f"row-{folder_name(name)}",
      downloads=_downloads(comparison),
    )
  )


def strokes(rows: Sequence[Line]) -> Mapping[tuple[str, str, str], Stroke]:
  """Return the strokes of every difference; a metric's strokes share an axis with 0.

  Their keys are the row, the row that it is compared with, and the metric.
  """
  found: dict[tuple[str, str, str], Stroke] = {}
  for metric in METRICS.values():
    differences: dict[tuple[str, str], Difference | Interval] = {
      (row.name, other): difference
      for row in rows
      for other, difference in row.differences_in(metric.key).items()
    }
    drawn = _strokes(differences, (0.0,))
    found |= {(*pair, metric.key): stroke for pair, stroke in drawn.items()}
  return found


_Key = TypeVar("_Key")


def _strokes(
  intervals: Mapping[_Key, Difference | Interval], shown: Sequence[float]
) -> dict[_Key, Stroke]:
  """Return strokes on one axis, on which the values `shown` are."""
  ends = [*shown, *(end for each in intervals.values() for end in _ends(each))]
  low, width = min(ends), (max(ends) - min(ends)) or 1.0
  return {
    name: Stroke(*((end - low) / width for end in (each.mean, *_ends(each), 0.0)))
    for name, each in intervals.items()
  }


def _ends(difference: Difference | Interval) -> tuple[float, float]:
  if difference.low is None or difference.high is None:
    return difference.mean, difference.mean
  return difference.low, difference.high


def _groups(
  comparison: Comparison, lines: Sequence[Line], palette: Palette
) -> list[Group]:
  rows = [Key(row.name, index) for index, row in enumerate(comparison.rows)]
  during = [*curves(comparison), *gaps(comparison, lines)]
  groups = [
    Group("Seeds and cost", rows, dots(comparison, lines) + pareto(comparison, lines)),
    Group("During training", rows, during),
  ]
  groups.append(Group("Tuning", rows, tuning_curves(comparison)))
  for number, each in enumerate(sweeps(comparison)):
    figure = sweep(each, f"sweep-{number}", palette)
    keys = [Key(curve.name, palette.index(curve.name)) for curve in each.curves]
    groups.append(Group(f"Effect of {each.setting}", keys, [figure] if figure else []))
  groups.append(Group("Two settings together", [], heatmaps(comparison, lines)))
  tables = by_length(comparison)
  groups.append(Group("Evaluation at other lengths", rows, lengths(comparison), tables))
  groups.append(Group("Parts of the validation split", [], part_heatmaps(comparison)))
  attentions = dict.fromkeys(str(record["attention"]) for record in comparison.costs)
  keys = [Key(name, palette.index(name)) for name in attentions]
  groups.append(Group("Cost by length", keys, costs(comparison.costs, palette)))
  groups.append(Group("Attention entropy", rows, entropy(comparison)))
  return [group for group in groups if group.figures]


def _downloads(comparison: Comparison) -> list[Download]:
  files = (
    ("results.csv", "CSV: one line per run", "text/csv", results.table(comparison)),
    ("results.tex", "LaTeX table", "text/plain", latex.latex(comparison)),
  )
  return [Download(name, label, _uri(kind, text)) for name, label, kind, text in files]


def _uri(kind: str, text: str) -> str:
  content = base64.b64encode(text.encode()).decode()
  return f"data:{kind};charset=utf-8;base64,{content}"


def _template() -> Any:
  try:
    import jinja2
  except ImportError:
    raise not_installed("report.html", "compare", "jinja2") from None
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.globals["file"] = _file
  return environment.from_string(_file("page.html.j2"))


def _file(name: str) -> str:
  """Return the content of a file in this folder."""
  return resources.files(__package__).joinpath(name).read_text("utf-8")
