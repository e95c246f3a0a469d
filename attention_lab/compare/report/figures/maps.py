"""What each row attends to on the same text, and how widely: maps and their entropy."""

import base64
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from attention_lab.compare.analysis.record import Comparison, Maps
from attention_lab.compare.report.figures.svg import Figure, Series, draw, paint_series

_LEVELS = 16  # Of opacity: four bits a pixel, so that many maps are a small file.
_HUE = (47, 127, 209)  # Seen on white and on black.
_LONGEST = 10  # Characters of a label.
_ROOM = 9.0  # A token's name needs so much of the 300 units along an axis.


class Sheet(NamedTuple):
  """All maps of a row in one picture: a layer to a line, a head to a column."""

  number: int  # Of the row.
  name: str  # Of the row.
  layers: int
  heads: int
  side: int  # Pixels of a map: one for each token.
  pitch: int  # Pixels from one map to the next.
  image: str  # As a data URI of a PNG.
  labels: Sequence[str]  # Of the tokens; short, and without invisible characters.
  every: int  # One token in so many has room for its label.

  @property
  def upright(self) -> bool:
    """Whether labels fit above their columns as they are: they are single characters."""
    return all(len(label) == 1 for label in self.labels)

  @property
  def margin(self) -> float:
    """What the labels need beside 300 units of map."""
    return 8 + 5.0 * max(map(len, self.labels))

  @property
  def size(self) -> tuple[int, int]:
    """Width and height in pixels."""
    return self.heads * self.pitch, self.layers * self.pitch


def sheets(comparison: Comparison) -> list[Sheet]:
  """The maps of each row that has some."""
  return [
    _sheet(index, row.name, row.maps)
    for index, row in enumerate(comparison.rows)
    if row.maps is not None and row.maps.weights.size
  ]


def entropies(weights: np.ndarray) -> np.ndarray:
  """Entropy of attention in nats by layer, [L]: the mean over heads and queries.

  Weights that are no probabilities count by their sizes, made to sum to 1; a query that
  attends to nothing does not count.

  Args:
    weights: [layers, heads, S, S].
  """
  sizes = np.abs(weights.astype(np.float64))
  total = sizes.sum(-1, keepdims=True)
  p = sizes / np.where(total > 0, total, 1)
  entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)
  counts = total[..., 0] > 0
  return (entropy * counts).sum((1, 2)) / np.maximum(counts.sum((1, 2)), 1)


def entropy(comparison: Comparison) -> list[Figure]:
  """Entropy against the layer, of each row that has maps."""
  series = []
  for index, row in enumerate(comparison.rows):
    if row.maps is not None and row.maps.weights.size:
      values = entropies(row.maps.weights)
      series.append(Series(index, range(1, len(values) + 1), values.tolist()))
  if not series:
    return []
  last = max(len(one.x) for one in series)

  def paint(axes: Any) -> None:
    paint_series(axes, series, marker="o")
    axes.set_xticks(range(1, last + 1))
    axes.set_ylim(0, 1.08 * max(0.1, *(max(one.y) for one in series)))
    axes.set(xlabel="layer", ylabel="entropy (nats)")

  title = "Attention entropy per layer"
  caption = (
    "Mean over heads and queries, of one trained model a row: 0 is one token, the "
    "logarithm of their number is all alike."
  )
  names = ", ".join(comparison.rows[one.number].name for one in series)
  return [
    Figure("entropy", title, draw("entropy", f"{title}, of {names}.", paint), caption)
  ]


def _sheet(index: int, name: str, maps: Maps) -> Sheet:
  layers, heads, side, _ = maps.weights.shape
  pitch = side + max(1, side // 16)
  pixels = np.zeros((layers * pitch, heads * pitch), np.uint8)
  sizes = np.abs(maps.weights)
  share = np.nan_to_num(sizes / max(1.0, float(np.nanmax(sizes))))
  # The square root shows small weights, too.
  levels = np.round(np.sqrt(share) * (_LEVELS - 1)).astype(np.uint8)
  for layer in range(layers):
    for head in range(heads):
      top, left = layer * pitch, head * pitch
      pixels[top : top + side, left : left + side] = levels[layer, head]
  every = max(1, int(np.ceil(side * _ROOM / 300)))
  return Sheet(
    *(index, name, layers, heads, side, pitch),
    image=_png(pixels),
    labels=[_label(token) for token in maps.tokens],
    every=every,
  )


def _label(token: str) -> str:
  seen = token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
  return seen if len(seen) <= _LONGEST else seen[: _LONGEST - 1] + "…"


def _png(levels: np.ndarray) -> str:
  """Levels as opacities of one hue, which light and dark pages shine through."""
  image = Image.frombytes("P", levels.shape[::-1], levels.tobytes())
  image.putpalette(_HUE * _LEVELS)
  file = io.BytesIO()
  opacities = bytes(round(255 * i / (_LEVELS - 1)) for i in range(_LEVELS))
  image.save(file, "PNG", bits=4, transparency=opacities, optimize=True)
  return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
