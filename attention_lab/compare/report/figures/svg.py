"""A matplotlib figure as SVG inside HTML: text stays text, colours are the page's.

Drawn with colours that stand for CSS variables: INK is `--ink`, GRID is `--grid`, and
series i is `--series-i`, so that a page has its light and its dark figures in one.
"""

import io
import re
from collections.abc import Callable, Sequence
from html import escape
from typing import Any, NamedTuple

from attention_lab.errors import UserError

INK, GRID = "#010101", "#020202"
HUES = 8  # Colours that the page has for series; after them, dashes tell apart.
DASHES = ((), (5, 2), (1.5, 1.5), (6, 2, 1.5, 2))
_SERIES = "#0300"  # The last two digits say which.
_SIZE = (4.2, 2.9)  # Inches of 72 units: narrow enough to be read on a phone.


class Figure(NamedTuple):
  """A drawing with the words that belong to it."""

  key: str  # Unique on a page; its id there.
  title: str
  svg: str
  caption: str


class Series(NamedTuple):
  """What is drawn of one row."""

  number: int  # Of its colour.
  x: Sequence[float]
  y: Sequence[float]
  low: Sequence[float] = ()  # Of the band around it; () for none.
  high: Sequence[float] = ()


def colour(index: int) -> str:
  """What stands for the colour of a series."""
  return f"{_SERIES}{index % HUES:02x}"


def dashes(index: int) -> Sequence[float]:
  """The dashes of a series, in units of its line's width; () is a whole line."""
  return DASHES[index // HUES % len(DASHES)]


def draw(
  key: str, alt: str, paint: Callable[[Any], None], size: tuple[float, float] = _SIZE
) -> str:
  """An `<svg>` of what is painted on a pair of axes.

  Args:
    key: what its ids begin with; unique on the page.
    alt: what is to be seen, in words, for those who do not see it.
    paint: draws on matplotlib's axes; series i in an artist whose gid is `series-i`.
    size: inches.
  """
  matplotlib, figure_type = _matplotlib()
  with matplotlib.rc_context(_rules()):
    figure = figure_type(figsize=size, layout="constrained")
    axes = figure.subplots()
    paint(axes)
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", metadata=nothing, transparent=True)
  return _inline(file.getvalue(), key, alt)


def paint_series(axes: Any, series: Sequence[Series], marker: str = "") -> None:
  """Lines with their bands; the first, the baseline's, above the others."""
  for one in series:
    gid, order = f"series-{one.number}", 3 - one.number / 1000
    style = {"color": colour(one.number), "gid": gid}
    if len(one.low):
      axes.fill_between(
        one.x, one.low, one.high, alpha=0.16, linewidth=0, zorder=order - 1, **style
      )
    (line,) = axes.plot(one.x, one.y, marker=marker, zorder=order, **style)
    if dashes(one.number):
      line.set_dashes(dashes(one.number))


def _matplotlib() -> tuple[Any, Any]:
  try:
    import matplotlib
    from matplotlib.figure import Figure as figure_type
  except ImportError:
    raise UserError(
      "The report's figures need matplotlib: pip install -e '.[compare]'"
    ) from None
  return matplotlib, figure_type


def _rules() -> dict[str, Any]:
  rules: dict[str, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "attention_lab",
    "font.size": 9,
    "text.parse_math": False,
    "lines.linewidth": 1.7,
    "lines.markersize": 4,
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
  """What matplotlib wrote, fit for standing among others in an HTML page."""
  text = text[text.index("<svg") :]
  text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S)
  text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
  view = re.search(r'viewBox="[^"]*"', text)
  assert view
  label = escape(alt, quote=True)
  opening = f'<svg class="drawing" role="img" aria-label="{label}" {view.group()}>'
  text = opening + text[text.index(">") + 1 :]
  text = re.sub(r'<g id="(series)-(\d+)">', r'<g class="\1 \1-\2">', text)
  text = _own_ids(text.replace("xlink:href", "href"), key)
  text = text.replace(INK, "var(--ink)").replace(GRID, "var(--grid)")
  text = re.sub(
    _SERIES + r"([0-9a-f]{2})", lambda m: f"var(--series-{int(m[1], 16)})", text
  )
  text = re.sub(r" ?font-family: [^;\"]*;?", "", text)
  return re.sub(r"\s*\n\s*", "\n", text).strip()


def _own_ids(text: str, key: str) -> str:
  """Ids that are referred to begin with the key; the others go."""
  used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
  text = re.sub(
    r' id="([^"]*)"', lambda m: f' id="{key}-{m[1]}"' * (m[1] in used), text
  )
  return re.sub(r'(url\(|href=")#', rf"\1#{key}-", text)
