"""The form of examples that an architecture and a dataset have in common."""

from typing import Any, cast

from attention_lab.architecture.base.architecture import Architecture, architectures
from attention_lab.dataset.base.dataset import datasets
from attention_lab.dataset.base.wrapped import offered_tasks, tasks_of
from attention_lab.errors import UserError


def common_task(architecture: str, dataset: str) -> str:
  """Return the first form of examples that an architecture learns and a dataset offers.

  Args:
    architecture: spec of the architecture.
    dataset: spec of the dataset.

  Raises:
    UserError: there is none.
  """
  wanted = _learnt(architectures.bind(architecture).func)
  offered = offered_tasks(dataset)
  for task in wanted:
    if task in offered:
      return task
  others = [
    name for name in architectures if {*offered} & {*_learnt(architectures[name])}
  ]
  usable = [name for name in datasets if {*wanted} & {*tasks_of(name)}]
  raise UserError(
    f"--architecture={architecture} learns {' or '.join(wanted)}, but the targets of "
    f"--dataset={dataset} are {' or '.join(offered)}. Use --architecture="
    f"{' or '.join(others)}, or one of the datasets {', '.join(usable)}."
  )


def _learnt(architecture: Any) -> tuple[str, ...]:
  """Return the forms of examples that a registered architecture learns."""
  return cast(type[Architecture], architecture).tasks
