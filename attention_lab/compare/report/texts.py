"""Texts that report.md and report.html share."""

from collections import Counter
from collections.abc import Sequence

from attention_lab.compare.analysis.measures import METRICS, Metric
from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.table import Line
from attention_lab.compare.analysis.wording import (
  counted,
  listed,
  setting_name,
  setting_text,
)
from attention_lab.compare.grid import alternatives
from attention_lab.compare.report import facts

UNCHECKED = "leak check not passed"
MOST_NAMES = 4  # Most names that a title lists.


def title(comparison: Comparison) -> str:
  """Return a title such as "standard against rope and alibi on copy".

  The others are named by the settings in which they differ from the baseline. A baseline
  without positions is named by its attention alone.
  """
  baseline, *values = alternatives(comparison.rows[0].name)
  values = [value for value in values if value not in ("none", comparison.dataset)]
  others = _others(comparison)
  name = ", ".join([baseline, *values])
  if len(others) > MOST_NAMES:
    name += f" against {len(others)} others"
  elif others:
    name += f" against {listed(others)}"
  return name + f" on {listed(_datasets(comparison))}" * bool(comparison.dataset)


def extent(comparison: Comparison) -> str:
  """Return the numbers of rows, seeds and steps as a sentence."""
  rows = counted(len(comparison.rows), "row")
  number = facts.seeds(comparison)
  noun = "seed per row" if number == "1 per row" else "seeds per row"
  seeds = number.replace("per row", noun)
  return f"{rows}, {seeds}, {counted(comparison.steps, 'step')} per run."


def metrics_of(rows: Sequence[Line]) -> list[Metric]:
  """Return the metrics that any row has."""
  return [m for m in METRICS.values() if any(m.key in row.estimates for row in rows)]


def notes(comparison: Comparison) -> str:
  """Return how intervals, p-values and verdicts are computed, as several sentences."""
  found = [
    "Brackets hold the 95 % t interval of a mean, for each row separately, on a "
    "logarithmic scale for losses and a logit scale for percentages. A row is compared "
    f"with the first row that differs in {setting_name(comparison.about)} alone (and in "
    "sizes that matching changed), unless it names others, paired by seed; p is the "
    "p-value of the two-sided paired t-test, p (Holm) the same after Holm's correction "
    "for the number of comparisons in that metric, where rows added by matching form a "
    "family of their own. A row is called better or worse if p (Holm) is below 0.05 and "
    f"the difference reaches the margin, {_margin(comparison)}; equal within the margin "
    "if two one-sided tests, corrected in the same way, show it. The number of seeds "
    "needed gives a test at the strictest level of Holm's method (0.05 divided by the "
    "number of tests) a power of 80 % if the true difference is the observed one; the "
    "range holds for the differences that the observation leaves plausible (80 %). Wall "
    "time is that of each "
    "run as it was, with compilation, evaluation and whatever ran beside it. Training "
    "step, tokens/s, memory, decoding and decode state are measured once for each row, in "
    "turns, apart from training."
  ]
  if len(comparison.looks) > 1:
    counts = listed([str(count) for count in comparison.looks])
    looks = len(comparison.looks)
    found.append(
      f"The results were looked at with {counts} seeds, so p-values are multiplied by "
      f"{looks * (looks + 1)}: corrected this way, they hold for any number of looks."
    )
  if len(comparison.joined) > 1:
    found.append(
      "The runs of several folders were joined. p-values hold if their number was not "
      "chosen by earlier results."
    )
  seeds = {tuple(run.seed for run in row.runs) for row in comparison.rows}
  if comparison.joined and len(seeds) > 1:
    found.append(
      "Rows have different seeds: a pair is compared over those of both rows."
    )
  if comparison.seeds == 2:
    found.append(
      "With two seeds, an interval is 13 times as wide as the distance of the two values: "
      "only a difference far larger than the spread over seeds can be told."
    )
  return " ".join(found)


def _margin(comparison: Comparison) -> str:
  if comparison.margin.endswith("%"):
    share = comparison.margin.removesuffix("%")
    return f"{share} % of the standard deviation over seeds (--config.compare.margin)"
  return f"{comparison.margin} in the metric that the dataset is judged by"


def leak_checks(comparison: Comparison) -> str:
  """Return the results of the finished runs' leak checks, with their numbers."""
  results = Counter(
    str(run.summary.get("leak_check", "unknown")).replace("not asked", "not applicable")
    for row in comparison.rows
    for run in row.runs
    if run.status == "finished"
  )
  if not results:
    return "no run has finished"
  listing = ", ".join(f"{r} in {counted(n, 'run')}" for r, n in sorted(results.items()))
  return f"{listing} (predictions must not depend on later tokens)"


def _others(comparison: Comparison) -> list[str]:
  """Return names for the rows that differ from the baseline, without sizes of matching."""
  varied = {key for row in comparison.rows if not row.matched for key in row.settings}
  names = [_name(row, sorted(varied - {"dataset"})) for row in comparison.rows]
  return list(dict.fromkeys(filter(None, names)))


def _name(row: Row, keys: Sequence[str]) -> str:
  settings = row.settings
  return ", ".join(setting_text(key, settings[key]) for key in keys if key in settings)


def _datasets(comparison: Comparison) -> list[str]:
  """Return the names of all datasets, without their options."""
  others = [str(row.settings.get("dataset", "")) for row in comparison.rows]
  specs = [comparison.dataset, *filter(None, others)]
  return list(dict.fromkeys(spec.partition("(")[0] for spec in specs))
