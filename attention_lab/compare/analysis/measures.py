"""What is measured of a run, in one place: names, units, formats, which way is better."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

# What summary.json says of a model that sees nothing it must predict.
CHECKED = ("passed", "not asked")


class Metric(NamedTuple):
  """A figure of a run."""

  key: str  # In `figures`, `table.Line` and results.jsonl.
  name: str
  unit: str  # Of what `told` writes; "" for a number without one.
  better: Literal["lower", "higher"]
  format: str  # Of a value in `unit`, for `format`.
  scale: float = 1.0  # What a value is multiplied with to be in `unit`.
  judged: bool = False  # Compared with the baseline, with a p-value.
  predicts: bool = (
    True  # Made from predictions: worth nothing where leaks are unchecked.
  )

  @property
  def heading(self) -> str:
    """The name with the unit."""
    return f"{self.name} ({self.unit})" if self.unit else self.name

  @property
  def step(self) -> str:
    """The unit of a difference."""
    return "points" if self.unit == "%" else self.unit

  def told(self, value: float) -> str:
    """A value as a person reads it, without the unit."""
    return format(value * self.scale, self.format)

  def change(self, value: float) -> str:
    """A difference as a person reads it, with its sign and without the unit."""
    return format(value * self.scale, "+" + self.format)


_METRICS = (
  Metric("loss", "validation loss", "nats", "lower", ".4f", judged=True),
  Metric("accuracy", "top-1 accuracy", "%", "higher", ".2f", scale=100, judged=True),
  Metric("bits_per_character", "bits per character", "", "lower", ".4f"),
  Metric("sequence_accuracy", "whole answers right", "%", "higher", ".2f", scale=100),
  Metric("above_best", "loss above the least possible", "nats", "lower", ".4f"),
  Metric("bleu", "BLEU", "", "higher", ".2f"),
  Metric("chrf", "chrF", "", "higher", ".2f"),
  Metric("parameters", "parameters", "", "lower", ",.0f", predicts=False),
  Metric("training_flops", "training FLOPs", "", "lower", ".3g", predicts=False),
  Metric("seconds", "time", "s", "lower", ",.1f", predicts=False),
  Metric("tokens_per_second", "tokens/s", "", "higher", ",.0f", predicts=False),
  Metric(
    "memory_bytes", "peak memory", "MiB", "lower", ",.1f", 2.0**-20, predicts=False
  ),
)
METRICS: Mapping[str, Metric] = {metric.key: metric for metric in _METRICS}


def is_checked(summary: Mapping[str, Any]) -> bool:
  """Whether the run's predictions are known to be made without seeing their targets."""
  return summary.get("leak_check") in CHECKED


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
  """The metrics that summary.json has, by key in the order of METRICS.

  Those of predictions are left out where leaks are unchecked. BLEU and chrF are numbers
  or, as evaluation.json has them, a `value` with its signature.
  """
  found = {**summary, **(summary.get("validation") or {})}
  if found.get("flops_per_step") is not None:
    found["training_flops"] = found["flops_per_step"] * found["steps"]
  checked = is_checked(summary)
  return {
    key: _number(found[key])
    for key, metric in METRICS.items()
    if found.get(key) is not None and (checked or not metric.predicts)
  }


def _number(figure: Any) -> float:
  return float(figure["value"] if isinstance(figure, Mapping) else figure)
