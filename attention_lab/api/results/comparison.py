"""The results of `attention_lab.compare`."""

import dataclasses
import functools
import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attention_lab.api.results import show
from attention_lab.benchmark.plot import new_figure
from attention_lab.compare.analysis.measures import METRICS
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.sentences import estimate_text, sentence
from attention_lab.compare.analysis.table import Failure, Line, lines, shown
from attention_lab.compare.analysis.wording import p_value
from attention_lab.compare.report import files, markdown, page, results
from attention_lab.compare.report.figures.curves import measured
from attention_lab.errors import UserError, nearest
from attention_lab.system.files import make_folder

SHOWN = ("loss", "accuracy", "parameters")  # Metrics of the table in a notebook.


@dataclasses.dataclass(frozen=True, repr=False)
class ComparisonReport(show.Printed):
  """The results of a comparison; printed, a sentence for each row.

  Attributes:
    rows: the results of each row, the baseline first.
    sentences: what they say, a sentence for each row.
    messages: what the command would print in addition: rows with changed code, and what
      tuning has chosen.
    comparison: the record of all runs, with their curves.
  """

  rows: tuple[Line, ...]
  sentences: tuple[str, ...]
  messages: tuple[str, ...]
  comparison: Comparison

  @classmethod
  def of(cls, comparison: Comparison, messages: Sequence[str]) -> "ComparisonReport":
    """Return the results of a comparison."""
    rows = tuple(lines(comparison))
    texts = (f"{row.name}: {sentence(row, comparison.seeds)}." for row in rows)
    return cls(rows, tuple(texts), tuple(messages), comparison)

  def __getitem__(self, name: str) -> Line:
    """Return the row of a name."""
    found = {row.name: row for row in self.rows}
    if name not in found:
      raise UserError(f"There is no row {name!r}. {nearest(str(name), found)}")
    return found[name]

  @property
  def failures(self) -> dict[str, tuple[Failure, ...]]:
    """The failed runs of each row that has some: seed and error."""
    return {row.name: tuple(row.failed) for row in self.rows if row.failed}

  @functools.cached_property
  def markdown(self) -> str:
    """The text of report.md."""
    return markdown.report(self.comparison)

  @functools.cached_property
  def html(self) -> str:
    """The page with all figures, which takes seconds to make: report.html."""
    return page.report(self.comparison)

  def save(self, folder: str | Path) -> None:
    """Write the report files of --mode=compare into a folder, which is made."""
    make_folder(Path(folder), "folder")
    files.write(Path(folder), self.comparison)

  def to_pandas(self) -> Any:
    """Return results.csv as a `pandas.DataFrame`: one line per row and seed.

    Raises:
      UserError: pandas is not installed.
    """
    return show.pandas().read_csv(io.StringIO(results.table(self.comparison)))

  def plot(self) -> Any:
    """Return a figure of the validation loss by steps and of the differences.

    Lines are means over seeds, bands span the seeds; differences from the baseline have
    95 % intervals, in the metric that the dataset is judged by.

    Returns:
      A `matplotlib.figure.Figure`, which no window shows.
    """
    figure = new_figure(figsize=(9, 3.6), dpi=120)
    losses, differences = figure.subplots(1, 2)
    _plot_losses(losses, self.comparison)
    _plot_differences(differences, self.rows)
    return figure

  def __str__(self) -> str:
    return "\n".join(self.sentences)

  def _repr_html_(self) -> str:
    """Return sentences and a small table for a notebook."""
    primary = [row.primary for row in self.rows]
    metrics = [
      METRICS[key]
      for key in dict.fromkeys((*primary, *SHOWN))
      if any(key in row.estimates for row in self.rows)
    ]
    head = ["row", "seeds", *(metric.heading for metric in metrics), "verdict", "p"]
    body = []
    for row in self.rows:
      estimates = (row.estimates.get(metric.key) for metric in metrics)
      texts = (
        estimate_text(metric, each) if each else ""
        for metric, each in zip(metrics, estimates, strict=True)
      )
      seeds = f"{len(row.seeds)} of {self.comparison.seeds}"
      body.append([row.name, seeds, *texts, *_verdict(row)])
    said = "".join(f"<li>{html.escape(text)}</li>" for text in self.sentences)
    return f"<ul>{said}</ul>{show.table(head, body)}"


def _verdict(row: Line) -> tuple[str, str]:
  """Return the verdict on a row in its primary metric, and the corrected p-value."""
  found = row.differences.get(row.primary)
  if found is None:
    return "", ""
  return found.verdict, "" if found.p_holm is None else p_value(found.p_holm)


def _plot_losses(axes: Any, comparison: Comparison) -> None:
  """Draw the validation loss by steps: mean and range over the seeds of each row."""
  for row in comparison.rows:
    runs = shown(row)
    by_step = measured(runs, "loss") if runs else {}
    if not by_step:
      continue
    steps, values = list(by_step), list(by_step.values())
    (line,) = axes.plot(steps, [sum(x) / len(x) for x in values], "o-", label=row.name)
    low, high = list(map(min, values)), list(map(max, values))
    axes.fill_between(steps, low, high, alpha=0.2, color=line.get_color())
  axes.set(xlabel="steps", ylabel="validation loss (nats)")
  axes.grid(alpha=0.3)
  if axes.lines:
    axes.legend()


def _plot_differences(axes: Any, rows: Sequence[Line]) -> None:
  """Draw the difference of each row from its baseline, with its interval."""
  metric = METRICS[rows[0].primary]
  compared = [row for row in rows if metric.key in row.differences]
  for place, row in enumerate(compared):
    found = row.differences[metric.key]
    axes.plot(found.mean * metric.scale, place, "o", color="C0")
    if found.low is not None and found.high is not None:
      ends = found.low * metric.scale, found.high * metric.scale
      axes.plot(ends, (place, place), color="C0")
  axes.axvline(0, color="grey", linewidth=0.8)
  axes.set_yticks(range(len(compared)), [row.name for row in compared])
  axes.invert_yaxis()
  axes.set(xlabel=f"difference in {metric.name} ({metric.difference_unit})")
  axes.grid(axis="x", alpha=0.3)
