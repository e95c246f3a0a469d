"""Figures of benchmarks and attention maps, by matplotlib (the extra [plot])."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attention_lab.errors import not_installed
from attention_lab.system.files import write_file


def new_figure(**options: Any) -> Any:
  """Return an empty `matplotlib.figure.Figure`, which no window shows.

  Raises:
    UserError: matplotlib is missing.
  """
  try:
    from matplotlib.figure import Figure
  except ImportError:
    raise not_installed("Drawing figures", "plot", "matplotlib") from None

  class NotebookFigure(Figure):
    """A figure that notebooks show, though pyplot is not imported."""

    def _repr_png_(self) -> bytes:
      return png(self)

  return NotebookFigure(layout="constrained", **options)


def png(figure: Any) -> bytes:
  """Return the content of a PNG file of a figure."""
  content = io.BytesIO()
  figure.savefig(content, format="png")
  return content.getvalue()


def save(figure: Any, path: Path) -> None:
  """Write a figure as PNG; a link of this name is replaced, not followed."""
  write_file(path, png(figure))


def figure_of_benchmark(
  names: Sequence[str], records: Sequence[Mapping[str, Any]]
) -> Any:
  """Return a figure of time (seconds per call) and memory (bytes) against length.

  Args:
    names: the attentions.
    records: those of benchmark.json.

  Raises:
    UserError: matplotlib is missing.
  """
  kinds = ["forward", "gradient"]
  kinds += ["decode"] * any(record["kind"] == "decode" for record in records)
  figure = new_figure(figsize=(4 * len(kinds), 7), dpi=120)
  axes = figure.subplots(2, len(kinds), squeeze=False)
  for column, kind in enumerate(kinds):
    for row, (key, unit) in enumerate((("seconds", "s"), ("memory_bytes", "bytes"))):
      panel = axes[row, column]
      for name in names:
        points = [
          (record["length"], record[key])
          for record in records
          if (record["attention"], record["kind"]) == (name, kind)
          and record["seconds"]
          and record[key]
        ]
        if points:  # Zero has no place on a logarithmic scale.
          panel.loglog(*zip(*points, strict=True), "o-", label=name)
      panel.set(xlabel="length", ylabel=unit)
      panel.set_title(f"{kind}: {'time per call' if row == 0 else 'temporary memory'}")
      panel.grid(alpha=0.3)
  if axes[0, 0].lines:
    axes[0, 0].legend()
  return figure


def figure_of_maps(
  layers: Mapping[int, np.ndarray],
  queries: Sequence[str],
  contexts: Sequence[str],
  title: str = "",
) -> Any:
  """Return a figure of attention maps: a row per layer, a column per head.

  Args:
    layers: [N, T, S], 0 or more, by number of the layer; each map's largest weight is
      darkest.
    queries: the names of the T queries, from top to bottom.
    contexts: the names of the S tokens they attend to, from left to right.
    title: title of the figure.

  Raises:
    UserError: matplotlib is missing.
  """
  columns = max(len(heads) for heads in layers.values())
  across, down = (max(1.6, 0.17 * len(names) + 0.9) for names in (contexts, queries))
  figure = new_figure(figsize=(across * columns, down * len(layers) + 0.4), dpi=150)
  if title:
    figure.suptitle(_literal(title))
  figure.supxlabel("attends to", fontsize=7)
  figure.supylabel("token", fontsize=7)
  panels = figure.subplots(len(layers), columns, squeeze=False)
  for row, (layer, heads) in zip(panels, layers.items(), strict=True):
    for head, panel in enumerate(row):
      if head >= len(heads):
        panel.set_axis_off()
        continue
      panel.imshow(heads[head], cmap="Greys", vmin=0, interpolation="nearest")
      panel.set_title(f"layer {layer}, head {head + 1}", fontsize=7)
      panel.set_xticks(range(len(contexts)), _literal(contexts), rotation=90)
      panel.set_yticks(range(len(queries)), _literal(queries))
      panel.tick_params(labelsize=6, length=0)
  return figure


def _literal(text: Any) -> Any:
  """Return text that matplotlib does not read as a formula."""
  if isinstance(text, str):
    return text.replace("$", r"\$")
  return [_literal(one) for one in text]
