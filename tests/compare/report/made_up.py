"""Comparisons that nobody trained."""

from pathlib import Path

from attention_lab.compare.analysis.record import Comparison, Row, Run


def summary(loss, accuracy=0.5, leak_check="passed", **more):
  """What a run that finished with this loss has in summary.json."""
  return {
    "leak_check": leak_check,
    "steps": 100,
    "flops_per_step": 2_000_000,
    "parameters": 1234,
    "seconds": 12.5,
    "tokens_per_second": 4096.0,
    "validation": {"loss": loss, "accuracy": accuracy},
  } | more


def run(seed, loss, **more):
  """A run that finished."""
  return Run(seed, Path(f"cell/{seed}"), "finished", summary=summary(loss, **more))


def failed(seed, error="Out of memory"):
  """A run that failed."""
  return Run(seed, Path(f"cell/{seed}"), "failed", error)


def row(name, losses, **settings):
  """A row with runs of these losses, seeds from 0 on."""
  runs = [run(seed, loss) for seed, loss in enumerate(losses)]
  return Row(name, settings, "", runs)


def comparison(*rows, seeds=5, **more):
  """The rows, the baseline first."""
  return Comparison("python -m attention_lab.main", rows, seeds, 100, {}, **more)
