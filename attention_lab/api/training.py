"""A trained run: the result of `attention_lab.train`."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from attention_lab.api.model import TrainedModel
from attention_lab.api.results import show
from attention_lab.api.results.metrics import Metrics, as_table, by_name
from attention_lab.benchmark.plot import new_figure
from attention_lab.run import folder as run_folder
from attention_lab.run.metrics_file import records
from attention_lab.system.files import read_json


@dataclasses.dataclass(frozen=True, repr=False)
class Training(show.Printed):
  """A run that has been trained to its end.

  Attributes:
    model: the trained model, after the last step.
    train: metrics on as many training batches as the validation split has.
    validation: metrics on the whole validation split.
    lengths: metrics on the validation split by length in tokens.
    metrics: every record of metrics.jsonl: step, split ("train", "validation" or
      "event"), loss (nats), accuracy, learning_rate, tokens_per_second …
    summary: what summary.json holds: parameters, seconds, memory_bytes …
    folder: the run's folder; None if it was temporary.
  """

  model: TrainedModel
  train: Metrics
  validation: Metrics
  lengths: Mapping[int, Metrics]
  metrics: tuple[Mapping[str, Any], ...]
  summary: Mapping[str, Any]
  folder: Path | None

  @classmethod
  def of(cls, folder: Path, model: TrainedModel) -> Self:
    """Return the results in the folder of a run.

    Args:
      folder: the folder.
      model: the trained model.
    """
    summary = read_json(folder / run_folder.SUMMARY)
    lengths = summary.get("lengths", {}).items()
    return cls(
      model=model,
      train=Metrics.of(summary["train"]),
      validation=Metrics.of(summary["validation"]),
      lengths={int(length): Metrics.of(found) for length, found in lengths},
      metrics=tuple(records(folder / run_folder.METRICS)),
      summary=summary,
      folder=model.folder,
    )

  @property
  def steps(self) -> int:
    """Number of training steps taken."""
    return int(self.summary["steps"])

  @property
  def seconds(self) -> float:
    """Seconds of the run, over all its starts."""
    return float(self.summary["seconds"])

  @property
  def parameters(self) -> int:
    """Number of parameters; `model.parameters` are their values."""
    return int(self.summary["parameters"])

  def to_pandas(self) -> Any:
    """Return `metrics` as a `pandas.DataFrame`, a line per record.

    Raises:
      UserError: pandas is not installed.
    """
    return show.frame(self.metrics)

  def plot(self) -> Any:
    """Return a figure of the learning curve: loss (nats) and accuracy by steps.

    Returns:
      A `matplotlib.figure.Figure`, which no window shows.

    Raises:
      UserError: matplotlib is not installed.
    """
    figure = new_figure(figsize=(9, 3.6), dpi=120)
    labels = {"loss": "loss (nats)", "accuracy": "accuracy"}
    for axes, (key, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
      for split in ("train", "validation"):
        points = [
          (record["step"], float(record[key]))
          for record in self.metrics
          if record["split"] == split
        ]
        if points:  # None of training if every step was skipped.
          axes.plot(*zip(*points, strict=True), "o-", markersize=3, label=split)
      axes.set(xlabel="steps", ylabel=label)
      axes.grid(alpha=0.3)
      axes.legend()
    return figure

  def __str__(self) -> str:
    about = (
      f"{self.summary['attention']} attention, position {self.summary['position']}, on "
      f"{self.summary['dataset']}: {self.parameters:,} parameters, {self.steps:,} steps "
      f"in {self.seconds:.1f} s"
    )
    return "\n".join([about, *(f"{name}: {x}" for name, x in self._rows().items())])

  def _repr_html_(self) -> str:
    title = f"{self.summary['attention']}, {self.steps:,} steps"
    return as_table(title, self._rows())

  def _rows(self) -> dict[str, Metrics]:
    splits = {"train": self.train, "validation": self.validation}
    return by_name(splits, self.lengths)
