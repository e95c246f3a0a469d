"""report.html: a comparison as one file that needs nothing else to be read."""

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, NamedTuple

from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.table import Difference, Line, lines, p_told, sweeps
from attention_lab.compare.report.figures.costs import costs
from attention_lab.compare.report.figures.curves import curves, lengths
from attention_lab.compare.report.figures.maps import entropy, sheets
from attention_lab.compare.report.figures.palette import Palette
from attention_lab.compare.report.figures.svg import DASHES, HUES, Figure
from attention_lab.compare.report.figures.sweeps import sweep
from attention_lab.compare.report.markdown import NOTES, checks, estimated
from attention_lab.errors import UserError


class Key(NamedTuple):
  """What a colour means."""

  name: str
  number: int


class Group(NamedTuple):
  """Figures that share their colours."""

  title: str
  keys: Sequence[Key]
  figures: Sequence[Figure]


class Stroke(NamedTuple):
  """A difference with its interval, and 0, in shares of a line's length."""

  mean: float
  low: float
  high: float
  zero: float


def report(comparison: Comparison) -> str:
  """The whole of report.html.

  Raises:
    UserError: Jinja2, matplotlib or scipy is not installed.
  """
  template = _template()
  rows = lines(comparison)
  palette = Palette([line.name for line in rows])
  return str(
    template.render(
      comparison=comparison,
      lines=rows,
      metrics=[m for m in METRICS.values() if any(m.key in r.estimates for r in rows)],
      judged=[m for m in METRICS.values() if any(m.key in r.differences for r in rows)],
      groups=_groups(comparison, palette),
      sheets=sheets(comparison),
      strokes=strokes(rows),
      settings=sorted({*comparison.baseline, *(k for r in rows for k in r.settings)}),
      notes=NOTES,
      checks=checks(comparison),
      estimated=estimated,
      p_told=lambda p: p_told(p).removeprefix("p ").removeprefix("= "),
      palette=palette,
      hues=HUES,
      dashes=DASHES,
    )
  )


def strokes(rows: Sequence[Line]) -> Mapping[tuple[str, str], Stroke]:
  """By row and metric; those of a metric share their scale, on which is 0."""
  found: dict[tuple[str, str], Stroke] = {}
  for metric in METRICS.values():
    differences = {
      row.name: row.differences[metric.key]
      for row in rows
      if metric.key in row.differences
    }
    ends = [0.0, *(end for each in differences.values() for end in _ends(each))]
    low, width = min(ends), (max(ends) - min(ends)) or 1.0
    for name, each in differences.items():
      places = [(end - low) / width for end in (each.mean, *_ends(each), 0.0)]
      found[name, metric.key] = Stroke(*places)
  return found


def _ends(difference: Difference) -> tuple[float, float]:
  if difference.low is None or difference.high is None:
    return difference.mean, difference.mean
  return difference.low, difference.high


def _groups(comparison: Comparison, palette: Palette) -> list[Group]:
  rows = [Key(row.name, index) for index, row in enumerate(comparison.rows)]
  groups = [Group("While training", rows, curves(comparison))]
  for number, each in enumerate(sweeps(comparison)):
    figure = sweep(each, f"sweep-{number}", palette)
    keys = [Key(curve.name, palette.index(curve.name)) for curve in each.curves]
    groups.append(
      Group(f"How {each.setting} acts on each", keys, [figure] if figure else [])
    )
  groups.append(Group("At other lengths", rows, lengths(comparison)))
  attentions = dict.fromkeys(str(record["attention"]) for record in comparison.costs)
  keys = [Key(name, palette.index(name)) for name in attentions]
  groups.append(Group("Cost against length", keys, costs(comparison.costs, palette)))
  groups.append(Group("How widely it attends", rows, entropy(comparison)))
  return [group for group in groups if group.figures]


def _template() -> Any:
  try:
    import jinja2
  except ImportError:
    raise UserError("The report needs Jinja2: pip install -e '.[compare]'") from None
  environment = jinja2.Environment(
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  environment.globals["part"] = _part
  return environment.from_string(_part("page.html.j2"))


def _part(name: str) -> str:
  """A file that lies beside this one."""
  return resources.files(__package__).joinpath(name).read_text("utf-8")
