"""Small synthetic comparisons."""

from pathlib import Path

from attention_lab.compare.analysis.record import Comparison, Row, Run


def summary(loss, accuracy=0.5, leak_check="passed", **more):
  """Return the summary.json of a finished run."""
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
  """Return a finished run."""
  return Run(seed, Path(f"cell/{seed}"), "finished", summary=summary(loss, **more))


def failed(seed, error="Out of memory"):
  """Return a failed run."""
  return Run(seed, Path(f"cell/{seed}"), "failed", error)


def row(name, losses, **settings):
  """Return a row with a finished run for each loss; seeds start at 0."""
  runs = [run(seed, loss) for seed, loss in enumerate(losses)]
  return Row(name, settings, "", runs)


def comparison(*rows, seeds=5, **more):
  """Return a comparison of the rows, the baseline first."""
  return Comparison("python -m attention_lab.main", rows, seeds, 100, {}, **more)
