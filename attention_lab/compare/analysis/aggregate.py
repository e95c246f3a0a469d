"""Results of each mechanism over several tasks: the datasets of a comparison."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from attention_lab.compare.analysis import pooling
from attention_lab.compare.analysis.measures import METRICS, Metric, figures
from attention_lab.compare.analysis.pairs import origin_of, value
from attention_lab.compare.analysis.record import Comparison, Row
from attention_lab.compare.analysis.statistics import Interval
from attention_lab.compare.analysis.table import Line
from attention_lab.compare.analysis.wording import listed, row_name


class Task(NamedTuple):
  """A dataset with the ends of the scale of its scores."""

  name: str
  metric: Metric  # The metric that it is judged by.
  chance: float  # Level of the best constant answer: score 0.
  best: float  # Score 1.
  is_bound: bool  # Whether nothing can be better than `best`; else it is a row's mean.


class Mechanism(NamedTuple):
  """A configuration that was trained on every task."""

  name: str
  rows: Mapping[str, str]  # Task → name of its row.
  seeds: Sequence[int]  # Number of scores on each task.
  diverged: int  # Runs among them that diverged: score 0.
  score: Interval  # Interquartile mean of all scores.
  by_task: Sequence[float]  # Mean score on each task.
  baseline: str = ""  # The mechanism that it is compared with.
  improvement: Interval | None = None  # Probability of improvement over it.


class Aggregate(NamedTuple):
  """Results over several tasks."""

  tasks: Sequence[Task]
  mechanisms: Sequence[Mechanism]
  left_out: Sequence[
    str
  ]  # Tasks and mechanisms that are not included, with the reason.


Members = Mapping[str, int]  # Task → index of a mechanism's row.


def aggregate(comparison: Comparison, lines: Sequence[Line]) -> Aggregate | None:
  """Return the results over tasks; None if there are fewer than two to pool.

  Args:
    comparison: the comparison.
    lines: its results, from `table.lines`.
  """
  by_task = _by_task(comparison)
  tasks, left_out = _tasks(comparison, lines, by_task) if len(by_task) > 1 else ([], [])
  if len(tasks) < 2:
    return None
  scores: dict[str, dict[str, np.ndarray]] = {}
  members = _members(comparison, by_task)
  for name, own in members.items():
    found = {
      task.name: _scores(task, comparison.rows[own[task.name]], lines[own[task.name]])
      for task in tasks
      if task.name in own
    }
    missing = [task.name for task in tasks if not len(found.get(task.name, ()))]
    if missing:
      left_out.append(f"{name}: no score on {listed(missing)}")
    else:
      scores[name] = found
  mechanisms = [
    _mechanism(comparison, lines, tasks, name, members, scores) for name in scores
  ]
  return Aggregate(tasks, mechanisms, left_out) if mechanisms else None


def _by_task(comparison: Comparison) -> dict[str, list[int]]:
  """Return the indices of the rows on each dataset."""
  found: dict[str, list[int]] = {}
  for index, row in enumerate(comparison.rows):
    found.setdefault(str(value(comparison, row, "dataset")), []).append(index)
  return found


def _tasks(
  comparison: Comparison, lines: Sequence[Line], by_task: Mapping[str, Sequence[int]]
) -> tuple[list[Task], list[str]]:
  """Return the tasks, by name, and those without a scale, with the reason."""
  tasks, left_out = [], []
  for name, indices in sorted(by_task.items()):
    rows, own = [comparison.rows[i] for i in indices], [lines[i] for i in indices]
    metric = METRICS[own[0].primary]
    means = [
      line.estimates[metric.key].mean for line in own if metric.key in line.estimates
    ]
    chance, best = _chance(rows, metric), _best(rows, metric)
    is_bound = best is not None
    if best is None and means:
      best = min(means)
    if chance is None or best is None:
      left_out.append(f"{name}: the level of chance is not known")
    elif chance == best or (chance < best) != (metric.better == "higher"):
      left_out.append(f"{name}: no row is better than the best constant answer")
    else:
      tasks.append(Task(name, metric, chance, best, is_bound))
  return tasks, left_out


def _chance(rows: Sequence[Row], metric: Metric) -> float | None:
  """Return what the best constant answer reaches; None if no run has recorded it."""
  known = [run.summary.get("guess") or {} for row in rows for run in row.runs]
  return next((float(each[metric.key]) for each in known if metric.key in each), None)


def _best(rows: Sequence[Row], metric: Metric) -> float | None:
  """Return the best possible value: 1 for a fraction, a known lowest loss, or None."""
  if metric.better == "higher":
    return 1.0
  for row in rows:
    for run in row.runs:
      found = figures(run.summary) if run.status == "finished" else {}
      if {"loss", "above_best"} <= found.keys():
        return found["loss"] - found["above_best"]
  return None


def _members(
  comparison: Comparison, by_task: Mapping[str, Sequence[int]]
) -> dict[str, Members]:
  """Return the rows of each mechanism: name → task → index.

  A mechanism is a combination of the settings that vary within a task; those in which
  whole tasks differ do not count, nor sizes that matching changed.
  """
  rows = comparison.rows
  varied = {key for row in rows if not row.matched for key in row.settings}
  keys = [
    key
    for key in sorted(varied - {"dataset"})
    if any(
      len({repr(value(comparison, rows[i], key)) for i in own if not rows[i].matched})
      > 1
      for own in by_task.values()
    )
  ]
  found: dict[tuple[tuple[str, ...], bool], dict[str, int]] = {}
  for task, indices in by_task.items():
    for index in indices:
      origin = origin_of(comparison, rows[index])
      values = tuple(repr(value(comparison, origin, key)) for key in keys)
      key = values, bool(rows[index].matched)
      found.setdefault(key, {}).setdefault(task, index)
  return {_name(comparison, own, keys): own for own in found.values()}


def _name(comparison: Comparison, own: Members, keys: Sequence[str]) -> str:
  """Return the name that a mechanism's rows share without their dataset.

  If there is none, as for matched rows, it is made of its settings.
  """
  named = {
    comparison.rows[index].name.replace(f", {task}", "") for task, index in own.items()
  }
  if len(named) == 1:
    return named.pop()
  row = comparison.rows[next(iter(own.values()))]
  origin = origin_of(comparison, row)
  values = {key: value(comparison, origin, key) for key in keys}
  attention = value(comparison, row, "attention")
  attention = comparison.settings.get("attention") if attention is None else attention
  return ", ".join([row_name(values, str(attention)), *["matched"] * bool(row.matched)])


def _scores(task: Task, row: Row, line: Line) -> np.ndarray:
  """Return the scores of a row's runs by seed; none if a run has no checked result."""
  if line.unchecked:
    return np.zeros(0)
  key, diverged = task.metric.key, {each.seed for each in line.failed if each.diverged}
  found = dict.fromkeys(diverged, task.chance)
  if key in line.estimates:
    found |= line.estimates[key].by_seed
  values = np.array([found[seed] for seed in sorted(found)], np.float64)
  return (values - task.chance) / (task.best - task.chance)


def _mechanism(
  comparison: Comparison,
  lines: Sequence[Line],
  tasks: Sequence[Task],
  name: str,
  members: Mapping[str, Members],
  scores: Mapping[str, Mapping[str, np.ndarray]],
) -> Mechanism:
  rows = {task.name: lines[members[name][task.name]] for task in tasks}
  own = [scores[name][task.name] for task in tasks]
  mean, low, high = pooling.pooled(own)
  if high is not None and all(task.is_bound for task in tasks):
    high = min(high, 1.0)
  baseline = _baseline(comparison, rows, members, scores)
  other = [scores[baseline][task.name] for task in tasks] if baseline else []
  return Mechanism(
    name=name,
    rows={task: line.name for task, line in rows.items()},
    seeds=[len(each) for each in own],
    diverged=sum(line.diverged for line in rows.values()),
    score=Interval(mean, low, high),
    by_task=[float(each.mean()) for each in own],
    baseline=baseline,
    improvement=pooling.improvement(own, other) if baseline else None,
  )


def _baseline(
  comparison: Comparison,
  rows: Mapping[str, Line],
  members: Mapping[str, Members],
  scores: Mapping[str, object],
) -> str:
  """Return the mechanism with the baseline of every one of the rows, or ""."""
  wanted = {task: line.baseline for task, line in rows.items()}
  for name in scores:
    if all(
      comparison.rows[members[name][task]].name == baseline
      for task, baseline in wanted.items()
    ):
      return name
  return ""
