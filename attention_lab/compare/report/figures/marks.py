"""Colour, dashes and marker of each series: the same in figures and legends.

Each of the three tells the first eight series apart by itself, for readers who cannot
tell the colours apart. Colours are CSS variables of page.css, `--series-0` and so on.
"""

from collections.abc import Sequence
from math import cos, pi, sin

HUES = 8  # Number of the page's series colours.
PLACEHOLDER = "#0300"  # Of a colour in a drawing; two digits with the index follow.
_DASHES: tuple[tuple[float, ...], ...] = (
  (),
  (5, 2),
  (1.5, 1.5),
  (6, 2, 1.5, 2),
  (9, 2),
  (3, 1.5),
  (6, 2, 1.5, 2, 1.5, 2),
  (2, 3),
)

Point = tuple[float, float]


def _regular(corners: int, start: float = 0.25, inner: float = 1.0) -> list[Point]:
  """Return the corners of a polygon, or of a star whose odd corners have radius `inner`.

  Args:
    corners: number of corners.
    start: angle of the first corner, in turns.
    inner: radius of every second corner.
  """
  angles = [2 * pi * (start + i / corners) for i in range(corners)]
  radii = [inner if i % 2 else 1.0 for i in range(corners)]
  return [(r * cos(a), r * sin(a)) for r, a in zip(radii, angles, strict=True)]


def _turned(points: Sequence[Point]) -> list[Point]:
  return [(y, -x) for x, y in points]


_PLUS = [(x, y) for x, y in ((-0.35, 1.0), (0.35, 1.0), (0.35, 0.35))]
_MARKERS: tuple[list[Point], ...] = (
  _regular(20),
  _regular(4, start=0.125),
  _regular(3),
  _regular(4),
  _regular(3, start=0.75),
  _regular(10, inner=0.42),
  [
    *_PLUS,
    *_turned(_PLUS),
    *_turned(_turned(_PLUS)),
    *_turned(_turned(_turned(_PLUS))),
  ],
  [(-1.0, 0.45), (1.0, 0.45), (1.0, -0.45), (-1.0, -0.45)],
)


def colour(index: int) -> str:
  """Return the placeholder colour of a series."""
  return f"{PLACEHOLDER}{index % HUES:02x}"


def dashes(index: int) -> Sequence[float]:
  """Return the dashes of a series in units of the line width; () is a solid line.

  Series of the same colour have different dashes.
  """
  return _DASHES[(index + index // HUES) % len(_DASHES)]


def marker(index: int) -> list[Point]:
  """Return the marker of a series as a closed polygon inside the unit circle."""
  corners = _MARKERS[(index + 2 * (index // HUES)) % len(_MARKERS)]
  return [*corners, corners[0]]


def swatch(index: int) -> str:
  """Return an `<svg>` element for legends: a piece of the line with its marker."""
  dash = " ".join(f"{2 * length:g}" for length in dashes(index))
  pattern = f' stroke-dasharray="{dash}"' if dash else ""
  corners = " ".join(f"{17 + 5 * x:.1f},{6 - 5 * y:.1f}" for x, y in marker(index))
  return (
    f'<svg class="swatch series-{index}" viewBox="0 0 34 12" aria-hidden="true" '
    f'style="color:var(--series-{index % HUES})">'
    f'<line x1="0" x2="34" y1="6" y2="6"{pattern}/><polygon points="{corners}"/></svg>'
  )
