"""The section of reports on results over several tasks."""

from collections.abc import Iterator
from typing import Any

from attention_lab.compare.analysis.aggregate import (
  Aggregate,
  Mechanism,
  Task,
  aggregate,
)
from attention_lab.compare.analysis.record import Comparison
from attention_lab.compare.analysis.statistics import Interval
from attention_lab.compare.analysis.table import lines
from attention_lab.compare.analysis.wording import counted

HEADING = "Results over tasks"


def head(found: Aggregate) -> list[str]:
  """Return the headings of the table."""
  columns = ["mechanism", "runs", "interquartile mean of scores"]
  columns += ["probability of improvement", "compared with"]
  return columns + [f"mean score on {task.name}" for task in found.tasks]


def cells(mechanism: Mechanism) -> list[str]:
  """Return the line of a mechanism in the table."""
  runs = str(sum(mechanism.seeds))
  runs += f", {mechanism.diverged} diverged" * bool(mechanism.diverged)
  improvement = mechanism.improvement
  return [
    *(mechanism.name, runs, _text(mechanism.score)),
    "–" if improvement is None else _text(improvement),
    mechanism.baseline or "–",
    *(f"{mean:.3f}" for mean in mechanism.by_task),
  ]


def _text(interval: Interval) -> str:
  mean = f"{interval.mean:.3f}"
  if interval.low is None or interval.high is None:
    return mean
  return f"{mean} [{interval.low:.3f}, {interval.high:.3f}]"


def explanation(found: Aggregate) -> str:
  """Return what the numbers of the table are, as several sentences."""
  scales = "; ".join(_scale(task) for task in found.tasks)
  seeds = sorted({n for each in found.mechanisms for n in each.seeds})
  number = counted(seeds[-1], "seed")
  if len(seeds) > 1:
    number = f"{seeds[0]} to {number}"
  diverged = sum(each.diverged for each in found.mechanisms)
  texts = [
    f"{counted(len(found.tasks), 'task')}, {number} per mechanism and task. The score of a "
    f"run is 0 at the level of the best constant answer and 1 at the best: {scales}. Below "
    "0, a run is worse than the constant answer.",
    ""
    if all(task.is_bound for task in found.tasks)
    else "The best mean of a row is taken as exact: intervals leave its error out.",
    f"Diverged runs have the score 0: {diverged}." if diverged else "",
    "The interquartile mean is the mean of the middle half of all scores of a mechanism "
    "(Agarwal et al., arXiv:2108.13264). Its 95 % interval is a t interval with the "
    "standard deviation of the stratified bootstrap, which resamples seeds within each "
    "task: the bootstrap's percentiles would be too narrow with few seeds. The probability "
    "of improvement is that of a run scoring higher than a run of the baseline on the same "
    "task, averaged over tasks, with ties counted ½; its interval is Newcombe's (2006, "
    "method 5), combined over tasks. Intervals hold for these tasks, not for others.",
    f"Not included: {'; '.join(found.left_out)}." if found.left_out else "",
  ]
  return " ".join(filter(None, texts))


def _scale(task: Task) -> str:
  """Return the ends of a task's scale in words."""
  metric = task.metric
  unit = f" {metric.unit}".rstrip()
  chance, best = (metric.text(end) + unit for end in (task.chance, task.best))
  origin = "the best possible" if task.is_bound else "the best mean of a row"
  return f"on {task.name} {metric.name} from {chance} to {best}, {origin}"


def records(comparison: Comparison) -> Iterator[dict[str, Any]]:
  """Yield a dict for JSON for each mechanism."""
  found = aggregate(comparison, lines(comparison))
  if found is None:
    return
  for each in found.mechanisms:
    improvement = each.improvement
    yield {
      "mechanism": each.name,
      "tasks": [task.name for task in found.tasks],
      "rows": dict(each.rows),
      "seeds": list(each.seeds),
      "diverged": each.diverged,
      "score": each.score._asdict(),
      "score_by_task": list(each.by_task),
      "baseline": each.baseline,
      "improvement": improvement._asdict() if improvement else None,
    }
