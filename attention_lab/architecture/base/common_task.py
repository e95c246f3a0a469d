"""The form of examples that an architecture and a dataset have in common."""

from typing import Any, cast

from attention_lab.architecture.base.architecture import Architecture, architectures
from attention_lab.dataset.base.dataset import Dataset, datasets
from attention_lab.errors import UserError


def common_task(architecture: str, dataset: str) -> str:
  """Return the first form of examples that an architecture learns and a dataset offers.

  Args:
    architecture: spec of the architecture.
    dataset: spec of the dataset.

  Raises:
    UserError: there is none.
  """
  wanted = _tasks(architectures.bind(architecture).func)
  offered = _tasks(datasets.bind(dataset).func)
  for task in wanted:
    if task in offered:
      return task
  others = [
    name for name in architectures if {*offered} & {*_tasks(architectures[name])}
  ]
  usable = [name for name in datasets if {*wanted} & {*_tasks(datasets[name])}]
  raise UserError(
    f"--architecture={architecture} learns {' or '.join(wanted)}, but the targets of "
    f"--dataset={dataset} are {' or '.join(offered)}. Use --architecture="
    f"{' or '.join(others)}, or one of the datasets {', '.join(usable)}."
  )


def _tasks(component: Any) -> tuple[str, ...]:
  """Return the forms of examples that an architecture learns or a dataset offers."""
  return cast(type[Architecture] | type[Dataset], component).tasks
