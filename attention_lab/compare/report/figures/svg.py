"""Matplotlib figures as SVG inside HTML, with selectable text and the page's colours.

Figures are drawn with placeholder colours that are then replaced by CSS variables: INK by
`--ink`, GRID by `--grid`, ACCENT by `--accent` and series i by `--series-i`. One figure
thus serves the light and the dark scheme.
"""

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

from attention_lab.compare.report.figures.marks import (
  PLACEHOLDER,
  colour,
  dashes,
  marker,
)
from attention_lab.errors import not_installed

INK, GRID, ACCENT = "#010101", "#020202", "#040404"
_VARIABLES = {INK: "--ink", GRID: "--grid", ACCENT: "--accent"}
WIDTH = 4.2  # Inches of 72 units: legible at the width of a phone.
_SIZE = (WIDTH, 2.9)
_MOST_MARKS = 12  # Points of a line up to which each gets a marker.
_MARKS = 6  # Markers on a longer line.


class Figure(NamedTuple):
  """A drawing with its title and caption."""

  key: str  # Its id, unique on a page.
  title: str
  svg: str
  caption: str


class Series(NamedTuple):
  """Values of one row in a figure."""

  number: int  # Index of the colour.
  x: Sequence[float]
  y: Sequence[float]
  low: Sequence[float] = ()  # Lower edge of the band; () for no band.
  high: Sequence[float] = ()


def draw(
  key: str, alt: str, paint: Callable[[Any], None], size: tuple[float, float] = _SIZE
) -> str:
  """Return an `<svg>` element with one pair of axes.

  Args:
    key: prefix of the element's ids; unique on the page.
    alt: alternative text for screen readers.
    paint: draws on matplotlib's axes; the artists of series i have the gid `series-i`.
    size: width and height in inches.
  """
  matplotlib, figure_type = _matplotlib()
  with matplotlib.rc_context(_rules()):
    figure = figure_type(figsize=size, layout="constrained")
    axes = figure.subplots()
    paint(axes)
    file = io.StringIO()
    no_metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=no_metadata, transparent=True)
  return _inline(file.getvalue(), key, alt)


def paint_series(axes: Any, series: Sequence[Series]) -> None:
  """Draw lines with their bands; earlier series, such as the baseline, are on top."""
  for one in series:
    gid, order = f"series-{one.number}", 3 - one.number / 1000
    style = {"color": colour(one.number), "gid": gid}
    if len(one.low):
      axes.fill_between(
        one.x, one.low, one.high, alpha=0.16, linewidth=0, zorder=order - 1, **style
      )
    (line,) = axes.plot(
      *(one.x, one.y),
      marker=marker(one.number),
      markeredgewidth=0,
      markevery=_every(one),
      zorder=order,
      **style,
    )
    if dashes(one.number):
      line.set_dashes(dashes(one.number))


def _every(one: Series) -> tuple[int, int]:
  """Return the first marked point and the interval; series are marked at different x."""
  if len(one.x) <= _MOST_MARKS:
    return 0, 1
  interval = len(one.x) // _MARKS
  return one.number * interval // 4 % interval, interval


def _matplotlib() -> tuple[Any, Any]:
  try:
    import matplotlib
    from matplotlib.figure import Figure as figure_type
  except ImportError:
    raise not_installed("report.html", "compare", "matplotlib") from None
  return matplotlib, figure_type


def _rules() -> dict[str, Any]:
  rules: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "attention_lab",
    "font.size": 9,
    "text.parse_math": False,
    "lines.linewidth": 1.7,
    "lines.markersize": 6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "axes.edgecolor": GRID,
  }
  inks = ("text.color", "axes.labelcolor", "xtick.labelcolor", "ytick.labelcolor")
  rules |= dict.fromkeys(inks, INK)
  for side in ("xtick", "ytick"):
    rules |= {f"{side}.major.size": 0, f"{side}.minor.size": 0}
  return rules


def _inline(text: str, key: str, alt: str) -> str:
  """Convert matplotlib's SVG file to an element of an HTML page."""
  text = text[text.index("<svg") :]
  text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
  text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
  view = re.search(r'viewBox="[^"]*"', text)
  assert view
  label = escape(alt, quote=True)
  opening = f'<svg class="drawing" role="img" aria-label="{label}" {view.group()}>'
  text = opening + text[text.index(">") + 1 :]
  text = re.sub(r'<g id="(series)-(\d+)">', r'<g class="\1 \1-\2">', text)
  text = _prefix_ids(text.replace("xlink:href", "href"), key)
  for placeholder, variable in _VARIABLES.items():
    text = text.replace(placeholder, f"var({variable})")
  text = re.sub(
    PLACEHOLDER + r"([0-9a-f]{2})", lambda m: f"var(--series-{int(m[1], 16)})", text
  )
  text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
  return re.sub(r"\s*\n\s*", "\n", text).strip()


def _prefix_ids(text: str, key: str) -> str:
  """Prefix the ids that are referenced with the key, and remove the others."""
  used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
  text = re.sub(
    r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' * (m[1] in used), text
  )
  return re.sub(r'(url\(|href=")#', rf"\1#{key}-", text)
