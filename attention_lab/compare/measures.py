"""What is measured of a run, in one place: names, units, formats, which way is better."""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

Summary = Mapping[str, Any]  # A run's summary.json.
Better = Literal["lower", "higher", ""]  # "": neither; it is only told.

# What summary.json says of a model that sees nothing it must predict.
CHECKED = ("passed", "not asked")


class Metric(NamedTuple):
  """A figure of a run."""

  key: str  # In `table.Line` and results.jsonl.
  name: str  # As a heading.
  unit: str  # Of what `told` writes; "" for a number without one.
  better: Better
  read: Callable[[Summary], float | None]  # None where the run has no such figure.
  format: str  # Of a value in `unit`, for `format`.
  scale: float = 1.0  # What a value is multiplied with to be in `unit`.
  judged: bool = False  # Compared with the baseline, with a p-value.
  predicts: bool = (
    True  # Made from predictions: means nothing where leaks are unchecked.
  )

  @property
  def heading(self) -> str:
    """The name with the unit."""
    return f"{self.name} ({self.unit})" if self.unit else self.name

  def told(self, value: float) -> str:
    """A value as a person reads it, without the unit."""
    return format(value * self.scale, self.format)


def _of(*path: str) -> Callable[[Summary], float | None]:
  """Reads a number at a path; of a score with its signature, the value."""

  def read(summary: Summary) -> float | None:
    found: Any = summary
    for key in path:
      found = found.get(key) if isinstance(found, Mapping) else None
    if isinstance(found, Mapping):
      found = found.get("value")
    return None if found is None else float(found)

  return read


def _training_flops(summary: Summary) -> float | None:
  if summary.get("flops_per_step") is None:
    return None
  return float(summary["flops_per_step"]) * summary["steps"]


def _bits_per_character(summary: Summary) -> float | None:
  """The loss in bits, spread over the characters that a token stands for."""
  validation = summary.get("validation") or {}
  characters = validation.get("characters_per_token")
  if characters is None or validation.get("loss") is None:
    return None
  return float(validation["loss"]) / math.log(2) / float(characters)


def _whole(key: str, name: str, unit: str = "", scale: float = 1.0) -> Metric:
  return Metric(key, name, unit, "lower", _of(key), ",.0f", scale, predicts=False)


METRICS = {
  metric.key: metric
  for metric in (
    Metric(
      "loss",
      "validation loss",
      "nats",
      "lower",
      _of("validation", "loss"),
      ".4f",
      judged=True,
    ),
    Metric(
      "accuracy",
      "top-1 accuracy",
      "%",
      "higher",
      _of("validation", "accuracy"),
      ".2f",
      scale=100,
      judged=True,
    ),
    Metric(
      "bits_per_character",
      "bits per character",
      "",
      "lower",
      _bits_per_character,
      ".4f",
    ),
    Metric(
      "sequence_accuracy",
      "whole answers right",
      "%",
      "higher",
      _of("validation", "sequence_accuracy"),
      ".2f",
      scale=100,
    ),
    Metric(
      "above_best", "above the best possible", "nats", "lower", _of("above_best"), ".4f"
    ),
    Metric("bleu", "BLEU", "", "higher", _of("validation", "bleu"), ".2f"),
    Metric("chrf", "chrF", "", "higher", _of("validation", "chrf"), ".2f"),
    _whole("parameters", "parameters"),
    Metric(
      "training_flops",
      "training FLOPs",
      "",
      "lower",
      _training_flops,
      ".3g",
      predicts=False,
    ),
    Metric("seconds", "seconds", "s", "lower", _of("seconds"), ",.1f", predicts=False),
    Metric(
      "tokens_per_second",
      "tokens per second",
      "",
      "higher",
      _of("tokens_per_second"),
      ",.0f",
      predicts=False,
    ),
    _whole("memory_bytes", "peak memory", "MiB", 2**-20),
  )
}


def is_checked(summary: Summary) -> bool:
  """Whether the run's predictions are known to be made without seeing their targets."""
  return summary.get("leak_check") in CHECKED
