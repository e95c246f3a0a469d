"""The metrics of a run: names, units, formats and whether lower or higher is better."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from attention_lab.compare.analysis.statistics import Scale

# Results of the leak check that permit a loss. The last two, of which runs have stored
# either, mean that the model may attend to every token.
CHECKED = ("passed", "not asked", "not applicable")


class Metric(NamedTuple):
  """A quantity that is measured for every run."""

  key: str  # Key in the results of `figures`, in `table.Line` and in results.jsonl.
  name: str
  unit: str  # Unit in reports; "" for a number without a unit.
  better: Literal["lower", "higher"]
  format: str  # Format specification of a value in `unit`.
  scale: float = 1.0  # Factor from the stored value to `unit`.
  tested: bool = False  # Whether differences from the baseline get a p-value.
  predicts: bool = True  # Computed from predictions: needs a passed leak check.
  interval: Scale | None = None  # Scale of its interval; None if it gets none.
  measured: bool = False  # Measured once for each row, apart from training.

  @property
  def heading(self) -> str:
    """Name with the unit in brackets."""
    return f"{self.name} ({self.unit})" if self.unit else self.name

  @property
  def difference_unit(self) -> str:
    """Unit of a difference: percentage points for a percentage."""
    return "percentage points" if self.unit == "%" else self.unit

  def text(self, value: float) -> str:
    """Return a value as text, without the unit."""
    return format(value * self.scale, self.format)

  def change(self, value: float) -> str:
    """Return a difference as text, with its sign and without the unit."""
    return format(value * self.scale, "+" + self.format)


def _cost(
  key: str,
  name: str,
  unit: str,
  better: Literal["lower", "higher"],
  form: str,
  scale: float,
) -> Metric:
  return Metric(key, name, unit, better, form, scale, predicts=False, measured=True)


_METRICS = (
  Metric("loss", "validation loss", "nats", "lower", ".4f", 1, True, True, "log"),
  Metric("accuracy", "top-1 accuracy", "%", "higher", ".2f", 100, True, True, "logit"),
  Metric("bits_per_byte", "bits per byte", "", "lower", ".4f", interval="log"),
  Metric(  # Of runs that earlier versions stored.
    "bits_per_character", "bits per character", "", "lower", ".4f", interval="log"
  ),
  Metric(
    "sequence_accuracy",
    "fully correct answers",
    "%",
    "higher",
    ".2f",
    100,
    interval="logit",
  ),
  Metric(
    "above_best",
    "loss above the lowest possible",
    "nats",
    "lower",
    ".4f",
    interval="linear",
  ),
  Metric("bleu", "BLEU", "", "higher", ".2f", interval="log"),
  Metric("chrf", "chrF", "", "higher", ".2f", interval="log"),
  Metric("parameters", "parameters", "", "lower", ",.0f", predicts=False),
  Metric("training_flops", "training FLOPs", "", "lower", ".3g", predicts=False),
  Metric("seconds", "wall time", "s", "lower", ",.1f", predicts=False),
  _cost("step_seconds", "training step", "ms", "lower", ".3g", 1e3),
  _cost("tokens_per_second", "training tokens/s", "", "higher", ",.0f", 1),
  _cost("step_memory_bytes", "memory of a step", "MiB", "lower", ",.1f", 2.0**-20),
  _cost("decode_seconds", "decoding a token", "ms", "lower", ".3g", 1e3),
  _cost("state_bytes_1024", "state at 1,024 tokens", "KiB", "lower", ",.1f", 2.0**-10),
  _cost(
    "state_bytes_16384", "state at 16,384 tokens", "KiB", "lower", ",.1f", 2.0**-10
  ),
)
BITS = "bits_per_byte"
METRICS: Mapping[str, Metric] = {metric.key: metric for metric in _METRICS}


def is_checked(summary: Mapping[str, Any]) -> bool:
  """Return whether the run's predictions are known not to depend on their targets."""
  return summary.get("leak_check") in CHECKED


def figures(summary: Mapping[str, Any]) -> dict[str, float]:
  """Return the metrics in a summary.json, by key in the order of `METRICS`.

  Without a passed leak check, metrics computed from predictions are left out. BLEU and
  chrF are numbers, or dicts with a `value` and a signature as in evaluation.json.
  """
  found = {**summary, **(summary.get("validation") or {})}
  flops, steps = found.get("flops_per_step"), found.get("steps")
  if flops is not None and steps is not None:
    found["training_flops"] = number(flops) * steps
  checked = is_checked(summary)
  return {
    key: number(found[key])
    for key, metric in METRICS.items()
    if found.get(key) is not None
    and not metric.measured
    and (checked or not metric.predicts)
  }


def cost_figures(cost: Mapping[str, Any]) -> dict[str, float]:
  """Return the measured metrics of a row, by key, from a record of `row_costs.measure`."""
  states = cost.get("state_bytes", {})
  found = {**cost, **{f"state_bytes_{length}": n for length, n in states.items()}}
  return {
    key: float(found[key])
    for key, metric in METRICS.items()
    if metric.measured and key in found
  }


def number(figure: Any) -> float:
  """Return a metric in a summary: a number, or a dict with a `value`, as of BLEU."""
  return float(figure["value"] if isinstance(figure, Mapping) else figure)
