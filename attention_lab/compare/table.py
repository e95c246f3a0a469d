"""The table that every report shows, computed once: estimates, differences, verdicts."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from attention_lab.compare.record import Comparison

Verdict = Literal["better", "worse", "not told apart", "one seed"]


class Estimate(NamedTuple):
  """A metric over the seeds of a row, in the metric's own unit (`Metric.scale` is not
  applied; `Metric.told` applies it)."""

  mean: float
  low: float | None  # Of the 95 % interval of the mean; None with one seed.
  high: float | None
  by_seed: Mapping[int, float]  # Of the runs that finished, in order of the seed.


class Difference(NamedTuple):
  """A row's metric less the baseline's, over the seeds that both finished."""

  mean: float
  low: float | None  # Of the 95 % interval, of this row on its own; None with one seed.
  high: float | None
  p: float | None  # Of the paired t-test, two-sided; None with one seed.
  p_holm: float | None  # After Holm's correction for the rows compared in this metric.
  verdict: Verdict  # By `p_holm` at 0.05.
  seeds: int  # That both finished.
  seeds_needed: (
    int | None
  )  # To tell a difference of this size; None: more than anyone has.


class Failure(NamedTuple):
  """A run that failed."""

  seed: int
  error: str  # One line.


class Line(NamedTuple):
  """A row as every report shows it."""

  name: str
  settings: Mapping[str, Any]  # In what it differs from the baseline.
  matched: str  # How it was made equal to the baseline; "" where it was not.
  baseline: str  # The row it is compared with: the first on its data; "" for that row.
  seeds: Sequence[int]  # That finished.
  failed: Sequence[Failure]
  not_run: Sequence[int]  # Seeds.
  unchecked: Sequence[
    int
  ]  # Seeds that finished and whose leaks are unchecked: no loss.
  estimates: Mapping[str, Estimate]  # By metric key; those that the row has, in order.
  differences: Mapping[str, Difference]  # By metric key; of the judged ones.
  sentence: str  # Plain text.


class Curve(NamedTuple):
  """The loss of one attention by the value of a setting, the other settings equal."""

  name: str
  points: Mapping[float, Estimate | None]  # By value, rising; None: none has finished.


class Sweep(NamedTuple):
  """How a numeric setting in which rows differ acts on each attention."""

  setting: str  # "train.learning_rate".
  curves: Sequence[Curve]


def lines(comparison: Comparison) -> list[Line]:
  """One line for each row, in their order."""
  raise NotImplementedError


def sweeps(comparison: Comparison) -> list[Sweep]:
  """A sweep of each numeric setting that rows which nobody matched differ in."""
  raise NotImplementedError
