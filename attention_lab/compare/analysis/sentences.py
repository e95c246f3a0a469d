"""The result of a row in one sentence."""

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.statistics import MOST_SEEDS
from attention_lab.compare.analysis.table import Difference, Line
from attention_lab.compare.analysis.wording import counted, p_value


def sentence(line: Line, requested: int) -> str:
  """Return a row's result in words, without a full stop.

  Args:
    line: the row's results.
    requested: number of seeds that were requested.
  """
  if not line.seeds:
    failed = f"; {len(line.failed)} failed" if line.failed else ""
    return f"no run has finished{failed}"
  if len(line.unchecked) == len(line.seeds):
    return "no loss is reported, because the leak check was not passed"
  if not line.baseline:
    return "the baseline"
  if "loss" not in line.differences:
    return f"not compared: no seed has a loss both in this row and in {line.baseline}"
  return comparison_text(
    line.differences["loss"], METRICS["loss"], line.baseline, requested
  )


def comparison_text(
  difference: Difference, metric: Metric, baseline: str, requested: int
) -> str:
  """Return a difference in words.

  Args:
    difference: of a row from the baseline.
    metric: the metric that is compared.
    baseline: name of the baseline.
    requested: number of seeds that were requested.
  """
  size = f"{metric.text(abs(difference.mean))} {metric.difference_unit}".strip()
  side = "higher" if difference.mean > 0 else "lower"
  seeds = counted(difference.seeds, "seed")
  if difference.seeds < requested:
    seeds = f"{difference.seeds} of {counted(requested, 'seed')}"
  if difference.verdict == "one seed":
    advice = " (use --seeds=5)" * (requested == 1)
    return (
      f"{metric.name} {side} than {baseline} by {size} with {seeds}; a significance test "
      f"needs at least 2{advice}"
    )
  if difference.low == difference.high == 0:
    return f"{metric.name} equal to that of {baseline} for every seed ({seeds})"
  if difference.verdict == "no significant difference":
    return (
      f"no significant difference from {baseline} over {seeds} ({_p(difference)}); "
      f"{_seeds_needed(difference)}"
    )
  return (
    f"{difference.verdict} than {baseline}: {metric.name} {side} by {size} "
    f"{_interval(difference, metric)} over {seeds} ({_p(difference)})"
  )


def _interval(difference: Difference, metric: Metric) -> str:
  """Return the interval of the absolute difference."""
  assert difference.low is not None
  assert difference.high is not None
  ends = difference.low, difference.high
  low, high = sorted(end if difference.mean > 0 else -end for end in ends)
  return f"[{metric.text(low)}, {metric.text(high)}]"


def _p(difference: Difference) -> str:
  assert difference.p_holm is not None
  if difference.low == difference.high:
    return f"p = {difference.p_holm:.0f}: the difference is equal for every seed"
  p = p_value(difference.p_holm)
  equation = f"p {p}" if p.startswith("<") else f"p = {p}"
  holm = f" after Holm's correction for {difference.rows} rows" * (difference.rows > 1)
  return equation + holm


def _seeds_needed(difference: Difference) -> str:
  if difference.seeds_needed is None:
    return f"{MOST_SEEDS:,} seeds would be too few to detect a difference of this size"
  rounded = float(f"{difference.seeds_needed:.2g}")
  return f"about {rounded:,.0f} seeds are needed to detect a difference of this size"
