"""--mode=list: every registered part, with what it is and its options."""

import inspect
from typing import Any

from rich.console import Console
from rich.table import Table

from attention_lab.architecture.base.architecture import architectures
from attention_lab.attention.base.attention import attentions
from attention_lab.config import Config
from attention_lab.dataset.base.dataset import datasets
from attention_lab.optimizer.base.optimizer import optimizers
from attention_lab.plugin.registry import Registry
from attention_lab.position.base.position import positions
from attention_lab.schedule.base.schedule import schedules

REGISTRIES = (attentions, positions, datasets, architectures, optimizers, schedules)


def run(config: Config, workdir: str | None) -> int:
  """Print a table per registry."""
  del config, workdir
  console = Console(highlight=False)
  for registry in REGISTRIES:
    console.print(_table(registry))
  return 0


def _table(registry: Registry) -> Table:
  table = Table(title=registry.kind, title_justify="left", title_style="bold", box=None)
  for heading in ("name", "what it is", "options"):
    table.add_column(heading, overflow="fold")
  for name in registry:
    options = ", ".join(_default(*item) for item in registry.options(name).items())
    table.add_row(name, describe(registry[name]), options)
  return table


def describe(component: Any) -> str:
  """Return the first line of a component's file, or of its docstring.

  The first line of a file says what it computes, and cites the paper.
  """
  is_function = inspect.isfunction(component)
  source = component if is_function else inspect.getmodule(component)
  text = inspect.getdoc(source) or inspect.getdoc(component) or ""
  return text.split("\n")[0]


def _default(name: str, parameter: inspect.Parameter) -> str:
  if parameter.default is parameter.empty:
    return name
  return f"{name}={parameter.default!r}"
