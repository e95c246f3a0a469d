"""The result of a row in one sentence, and estimates as text."""

from attention_lab.compare.analysis.differences import Difference
from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.planning import MOST_SEEDS, Needed
from attention_lab.compare.analysis.table import Estimate, Line
from attention_lab.compare.analysis.wording import counted, p_value, setting_name

NOT_COMPARED = "not compared"


def estimate_text(metric: Metric, estimate: Estimate) -> str:
  """Return a mean, followed by its interval if that is not empty."""
  mean = metric.text(estimate.mean)
  if estimate.low is None or estimate.high is None or estimate.low == estimate.high:
    return mean
  return f"{mean} [{metric.text(estimate.low)}, {metric.text(estimate.high)}]"


def sentence(line: Line, requested: int) -> str:
  """Return a row's result in words, without a full stop.

  It is about the metric that the dataset is judged by.

  Args:
    line: the row's results.
    requested: number of seeds that were requested.
  """
  diverged = f"; {line.diverged} of {counted(requested, 'seed')} diverged"
  diverged *= bool(line.diverged)
  if not line.seeds:
    failed = f"; {len(line.failed)} failed" if line.failed else ""
    return "no run has finished" + (diverged or failed)
  if len(line.unchecked) == len(line.seeds):
    return "no loss is reported, because the leak check was not passed"
  return _result(line, requested) + _learnt(line) + diverged


def _result(line: Line, requested: int) -> str:
  metric = METRICS[line.primary]
  if line.unpaired == "dataset":
    return f"{NOT_COMPARED}: no earlier row has the same data"
  if line.unpaired:
    setting = setting_name(line.unpaired)
    return f"{NOT_COMPARED}: no earlier row differs from it in {setting} alone"
  if not line.baseline:
    return "the baseline"
  return "; ".join(
    comparison_text(found[metric.key], metric, other, requested)
    if metric.key in found
    else f"{NOT_COMPARED}: no seed has a value of {metric.name} both in this row and in "
    f"{other}"
    for other, found in line.comparisons.items()
  )


def _learnt(line: Line) -> str:
  """Return a clause that says so if a row is not better than a constant guess."""
  if line.guess is None or line.guess.beaten:
    return ""
  metric = METRICS[line.primary]
  mean = metric.text(line.estimates[metric.key].mean)
  guess = metric.text(line.guess.value)
  unit = f" {metric.unit}".rstrip()
  return (
    f"; it has not learnt the task: {metric.name} {mean}{unit}, where the best constant "
    f"answer has {guess}{unit}"
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
  size = _amount(metric, abs(difference.mean))
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
  if difference.verdict == "equal within the margin":
    assert difference.margin is not None
    assert difference.p_equal is not None
    return (
      f"equal to {baseline} within {_amount(metric, difference.margin)} of {metric.name} "
      f"over {seeds} (p {_relation(difference.p_equal)} for a larger difference)"
    )
  if difference.verdict == "no significant difference":
    return (
      f"no significant difference from {baseline} over {seeds} ({_p(difference)}); "
      f"{_needed(difference.needed)}"
    )
  change = f"{metric.name} {side} by {size} {_interval(difference, metric)}"
  end = f"over {seeds} ({_p(difference)})"
  if difference.verdict == "smaller than the margin":
    assert difference.margin is not None
    return (
      f"no difference from {baseline} that matters: {change} {end}, less than the margin "
      f"of {_amount(metric, difference.margin)}"
    )
  return f"{difference.verdict} than {baseline}: {change} {end}"


def _amount(metric: Metric, value: float) -> str:
  return f"{metric.text(value)} {metric.difference_unit}".strip()


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
  holm = f" after Holm's correction for {difference.tests} tests" * (
    difference.tests > 1
  )
  return f"p {_relation(difference.p_holm)}{holm}"


def _relation(p: float) -> str:
  """Return a p-value with its relation: "= 0.02" or "< 0.0001"."""
  text = p_value(p)
  return text if text.startswith("<") else f"= {text}"


def _needed(needed: Needed | None) -> str:
  """Return how many seeds would show the observed difference, with its range."""
  assert needed is not None
  if needed.seeds is None:
    return f"{MOST_SEEDS:,} seeds would be too few to detect a difference of this size"
  seeds, low = _rounded(needed.seeds), _rounded(needed.low or needed.seeds)
  most = f"more than {MOST_SEEDS:,}"
  high = most if needed.high is None else _rounded(needed.high)
  between = f" (between {low} and {high})" if low != high else ""
  return f"about {seeds} seeds{between} are needed to detect a difference of this size"


def _rounded(seeds: int) -> str:
  return f"{float(f'{seeds:.2g}'):,.0f}"
