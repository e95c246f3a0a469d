"""--mode=list: every registered component, or one of them in full.

python -m attention_lab.main --mode=list
python -m attention_lab.main --mode=list --attention=forgetting
python -m attention_lab.main --mode=list --config.train.optimizer=muon
"""

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table

from attention_lab import config as configs
from attention_lab.attention.base.attention import KINDS, attentions
from attention_lab.block.base import options as model_options
from attention_lab.catalogue import costs
from attention_lab.catalogue.attention import Facts, claims, facts
from attention_lab.catalogue.docstring import describe, paper_url
from attention_lab.catalogue.option import options
from attention_lab.config import Config
from attention_lab.conformance.check import LAWS
from attention_lab.plugin import spec as specs
from attention_lab.plugin.registry import REGISTRIES, Registry, by_setting
from attention_lab.settings.flags import named_settings
from attention_lab.settings.table import SETTINGS


def run(config: Config, workdir: str | None) -> int:
  """Print in full the components that flags name and those that are not the default.

  Without any, print a table per registry.
  """
  del workdir
  console = Console(highlight=False, markup=False, emoji=False)
  registries, values = by_setting(), dict(configs.flatten(config))
  named = [
    (registries[key], spec)
    for key, text in named_settings()
    if key in registries
    for spec in specs.distinct(text)
  ]
  named += [
    (registries[key], values[key])
    for key, setting in SETTINGS.items()
    if key in registries and not setting.flag and values[key] != setting.default
  ]
  for registry, spec in named:
    registry.bind(spec)  # Refuses unknown names and options before anything is printed.
  model = model_options.from_config(config.model.to_dict())
  for registry, spec in named:
    _print_component(console, registry, spec, model)
  if not named:
    for registry in REGISTRIES:
      console.print(_table(registry))
    console.print(_claims())
  return 0


def _table(registry: Registry) -> Table:
  table = _plain_table(registry.kind, "name", "what it is", "options")
  for name in registry:
    values = ", ".join(_assignment(*each[::2]) for each in options(registry, name))
    table.add_row(name, describe(registry[name]).heading, values)
  return table


def _claims() -> Table:
  """Return a table of what each attention supports and how its costs grow."""
  table = _plain_table("attention: kinds and costs", "name")
  for heading in (*KINDS, "linear time", "constant state"):
    table.add_column(heading, justify="center")
  for name in attentions:
    kinds, *costs = claims(name)
    marks = [*(kind in kinds for kind in KINDS), *costs]
    table.add_row(name, *("yes" if mark else "-" for mark in marks))
  return table


def _plain_table(title: str | None, *headings: str) -> Table:
  table = Table(
    title=title,
    title_justify="left",
    title_style="bold",
    box=None,
    show_header=bool(headings),
  )
  for heading in headings:
    table.add_column(heading, overflow="fold")
  return table


def _assignment(name: str, default: str) -> str:
  return f"{name}={default}" if default else name


def _print_component(
  console: Console, registry: Registry, spec: str, model: model_options.Options
) -> None:
  """Print everything that is known about a component."""
  name = specs.parse(spec).name
  about = describe(registry[name])
  console.print(f"{registry.kind} {spec}", style="bold")
  console.print(about.heading)
  for paper in about.papers:
    console.print(paper_url(paper), soft_wrap=True)
  for text in (about.summary, about.details, about.notes):
    if text and text != about.heading:
      console.print(f"\n{text}")
  _print_list(console, "equation", about.equation)
  table = _plain_table("\noptions")
  for option in options(registry, name):
    table.add_row(_assignment(option.name, option.default), option.type, option.meaning)
  if table.rows:
    console.print(table)
  if registry is attentions:
    table = _plain_table("\nproperties")
    for row in (*_properties(facts(spec, model)), *_costs(spec)):
      table.add_row(*row)
    console.print(table)
  _print_list(
    console, "departures from the paper", [f"- {x}" for x in about.departures]
  )
  console.print()


def _print_list(console: Console, heading: str, lines: Sequence[str]) -> None:
  if lines:
    console.print(f"\n{heading}", style="bold")
    for line in lines:
      console.print(Padding(line, (0, 2), expand=False))


def _properties(found: Facts) -> Iterator[tuple[str, str]]:
  """Yield name and value of each property of an attention."""
  yield "kinds", ", ".join(found.kinds)
  yield "positions", ", ".join(found.positions)
  yield "position by default", found.default_position
  yield "time", "linear in the length" if found.linear_time else "not claimed linear"
  for length, size in found.state_bytes.items():
    yield f"state at {length:,} tokens", f"{size:,} bytes per sequence and layer"
  yield "laws", f"{len(found.laws)} of {len(LAWS)} apply; --mode=check tests them"


def _costs(spec: str) -> Iterator[tuple[str, str]]:
  """Yield the measured time of an attention with its default options, by length."""
  found = costs.of_attention(spec, costs.read())
  if found is None:
    return
  by_length: dict[int, list[str]] = {}
  for each in found.costs[spec]:
    by_length.setdefault(each.length, []).append(f"{each.kind} {each.ratio:.2g}")
  for length, ratios in by_length.items():
    times = f"times that of {found.baseline}"
    yield f"time at {length:,} tokens", f"{', '.join(ratios)} {times}"
  yield "measured on", found.machine
