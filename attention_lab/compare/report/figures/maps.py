"""Attention maps of each row on the same text, and their entropy."""

import base64
import io
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from attention_lab.compare.analysis.record import Comparison, Maps
from attention_lab.compare.analysis.wording import counted
from attention_lab.compare.report.figures.alternative import course
from attention_lab.compare.report.figures.svg import Figure, Series, draw, paint_series

_LEVELS = 16  # Opacities: four bits per pixel keep the file small.
_HUE = (47, 127, 209)  # Visible on white and on black.
_LONGEST = 10  # Characters of a label.
_LABEL_HEIGHT = 9.0  # Units; an axis has 300.


class Sheet(NamedTuple):
  """All maps of a row in one image, with a line per layer and a column per head."""

  number: int  # Index of the row.
  name: str  # Name of the row.
  layers: Sequence[int]  # Numbers of the layers.
  heads: int
  side: int  # Width and height of a map in pixels, one per token.
  pitch: int  # Pixels from one map to the next.
  image: str  # Data URI of a PNG.
  labels: Sequence[str]  # The tokens, shortened, with visible symbols for white space.
  every: int  # Interval between labelled tokens.
  entropies: Sequence[float]  # In nats, by layer.

  @property
  def upright(self) -> bool:
    """Whether the labels of columns are not rotated, because each is one character."""
    return all(len(label) == 1 for label in self.labels)

  @property
  def margin(self) -> float:
    """Units for the labels, on a scale where the map has 300."""
    return 8 + 5.0 * max(map(len, self.labels))

  @property
  def unit(self) -> float:
    """Size of the text beside the small maps, in their pixels."""
    return max(self.size) / 34

  @property
  def alternative(self) -> str:
    """Alternative text of the image."""
    return (
      f"Attention maps of {self.name}: {counted(len(self.layers), 'layer')}, "
      f"{counted(self.heads, 'head')}. Mean entropy by layer: "
      f"{', '.join(f'{each:.2f}' for each in self.entropies)} nats; equal weights on all "
      f"{len(self.labels)} tokens would have {math.log(len(self.labels)):.2f}."
    )

  @property
  def size(self) -> tuple[int, int]:
    """Width and height of the image in pixels."""
    return self.heads * self.pitch, len(self.layers) * self.pitch


def sheets(comparison: Comparison) -> list[Sheet]:
  """Return a sheet for each row that has maps."""
  return [
    _sheet(index, row.name, row.maps)
    for index, row in enumerate(comparison.rows)
    if row.maps is not None and row.maps.weights.size
  ]


def entropies(weights: np.ndarray) -> np.ndarray:
  """Return the entropy of attention in nats by layer, [L]: mean over heads and queries.

  Absolute weights are normalised to sum to 1. Queries whose weights are all 0 are left
  out of the mean.

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
  """Return the entropy by layer of each row that has maps."""
  series = []
  for index, row in enumerate(comparison.rows):
    if row.maps is not None and row.maps.weights.size:
      values = entropies(row.maps.weights)
      series.append(Series(index, list(row.maps.layers), values.tolist()))
  if not series:
    return []
  numbers = sorted({number for one in series for number in one.x})

  def paint(axes: Any) -> None:
    paint_series(axes, series)
    axes.set_xticks(numbers)
    axes.set_ylim(0, 1.08 * max(0.1, *(max(one.y) for one in series)))
    axes.set(xlabel="layer", ylabel="entropy (nats)")

  title = "Attention entropy by layer"
  caption = (
    "Mean over heads and queries, for one trained model per row. 0: all weight on one "
    "token; ln n: equal weights on n tokens."
  )
  names = [comparison.rows[one.number].name for one in series]
  alt = course(title, names, series, ".2f")
  return [Figure("entropy", title, draw("entropy", alt, paint), caption)]


def _sheet(index: int, name: str, maps: Maps) -> Sheet:
  layers, heads, side, _ = maps.weights.shape
  pitch = side + max(1, side // 16)
  pixels = np.zeros((layers * pitch, heads * pitch), np.uint8)
  sizes = np.abs(maps.weights)
  relative = np.nan_to_num(sizes / max(1.0, float(np.nanmax(sizes))))
  # The square root makes small weights visible.
  levels = np.round(np.sqrt(relative) * (_LEVELS - 1)).astype(np.uint8)
  for layer in range(layers):
    for head in range(heads):
      top, left = layer * pitch, head * pitch
      pixels[top : top + side, left : left + side] = levels[layer, head]
  every = max(1, int(np.ceil(side * _LABEL_HEIGHT / 300)))
  return Sheet(
    *(index, name, list(maps.layers), heads, side, pitch),
    image=_png(pixels),
    labels=[_label(token) for token in maps.tokens],
    every=every,
    entropies=entropies(maps.weights).tolist(),
  )


def _label(token: str) -> str:
  visible = token.replace(" ", "␣").replace("\n", "⏎").replace("\t", "⇥")
  return visible if len(visible) <= _LONGEST else visible[: _LONGEST - 1] + "…"


def _png(levels: np.ndarray) -> str:
  """Return a PNG with levels as opacities of one hue, for light and dark pages."""
  image = Image.frombytes("P", levels.shape[::-1], levels.tobytes())
  image.putpalette(_HUE * _LEVELS)
  file = io.BytesIO()
  opacities = bytes(round(255 * i / (_LEVELS - 1)) for i in range(_LEVELS))
  image.save(file, "PNG", bits=4, transparency=opacities, optimize=True)
  return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
