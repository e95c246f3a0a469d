"""Pages of the documentation, one per registered component, as Markdown for MyST."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from attention_lab.attention.base.attention import KINDS, attentions
from attention_lab.block.base.options import Options
from attention_lab.catalogue import costs as cost
from attention_lab.catalogue.attention import LENGTHS, Facts, facts
from attention_lab.catalogue.docstring import Description, describe
from attention_lab.catalogue.example import command
from attention_lab.catalogue.markdown import code, equations, link, prose, table
from attention_lab.catalogue.option import options
from attention_lab.plugin.registry import REGISTRIES, Registry

PLURALS = {"dataset": "Datasets", "schedule": "Learning-rate schedules"}
# What the symbols of equations of attentions stand for.
SYMBOLS = (
  "q, k and v are queries, keys and values; i is the token of the query, t the current "
  "one, and j runs over the tokens that the query may attend to. K is the size of a head, "
  "σ the logistic function, and ∘ the product by elements."
)


class Sources(NamedTuple):
  """Contents of pages beside docstrings."""

  model: Options  # Of the default model, for the size of decode states.
  measurements: Sequence[cost.Measurement]
  results: dict[str, str]  # Results on tasks, as Markdown, by "kind/name".
  pictures: dict[str, str]  # The same of pictures; "state sizes" is of all.


def pages(sources: Sources) -> Iterator[tuple[str, str]]:
  """Yield path and text of each page: an index for each registry, and its components."""
  for registry in REGISTRIES:
    names = [name for name in registry if _is_built_in(registry, name)]
    found = {
      name: facts(name, sources.model) for name in names * _is_attention(registry)
    }
    yield f"{registry.kind}/index.md", _index(registry, names, found, sources)
    for name in names:
      text = _page(registry, name, found.get(name), sources)
      yield f"{registry.kind}/{name}.md", text


def _is_built_in(registry: Registry, name: str) -> bool:
  return registry[name].__module__.startswith("attention_lab.")


def _is_attention(registry: Registry) -> bool:
  return registry is attentions


def plural(kind: str) -> str:
  """Return the title of the page about all components of a kind."""
  return PLURALS.get(kind, f"{kind.capitalize()}s")


def _index(
  registry: Registry, names: Sequence[str], found: dict[str, Facts], sources: Sources
) -> str:
  rows = [
    [link(name, f"{name}.md"), prose(describe(registry[name]).heading)]
    + (_claims(name, found[name], sources.measurements) if found else [])
    for name in names
  ]
  headings, remarks = ["name", "what it is"], []
  if found:
    headings += [*KINDS, "linear time", "state, bytes", "gradient"]
    remarks = [_remarks(sources.measurements), sources.pictures.get("state sizes", "")]
  blocks = [
    f"# {plural(registry.kind)}",
    "`python -m attention_lab.main --mode=list` prints them on a terminal.",
    table(headings, rows, "sortable"),
    *filter(None, remarks),
    _toctree(names),
  ]
  return "\n\n".join(blocks) + "\n"


def _remarks(measurements: Sequence[cost.Measurement]) -> str:
  """Return what the columns of the table of attentions mean."""
  text = (
    f"State: that of decoding at {LENGTHS[-1]:,} tokens, per sequence and layer of the "
    "default model in float32; none where an attention is not causal."
  )
  lengths = [
    each.length
    for one in measurements
    for costs in one.costs.values()
    for each in costs
  ]
  if lengths:
    text += (
      f" Gradient: time of forward and backward pass at up to {max(lengths):,} tokens, "
      "over that of `standard`, as [measured](../../../measurements/attention_costs.md)."
    )
  return text


def _claims(
  name: str, found: Facts, measurements: Sequence[cost.Measurement]
) -> list[str]:
  """Return the cells of an attention in the table of all."""
  measured = cost.of_attention(name, measurements)
  gradients = (
    [c for c in measured.costs[name] if c.kind == "gradient"] if measured else []
  )
  return [
    *("yes" if kind in found.kinds else "" for kind in KINDS),
    "yes" if found.linear_time else "",
    f"{found.state_bytes[LENGTHS[-1]]:,}" if found.state_bytes else "",
    _ratio(max(gradients)) if gradients else "",
  ]


def _toctree(names: Iterable[str]) -> str:
  lines = "\n".join(names)
  return f"```{{toctree}}\n:hidden:\n:maxdepth: 1\n\n{lines}\n```"


def _page(registry: Registry, name: str, found: Facts | None, sources: Sources) -> str:
  """Return the page of one component."""
  about = describe(registry[name])
  sections = [f"# {name}", *_introduction(about)]
  if found:
    sections.append(SYMBOLS)
  key = f"{registry.kind}/{name}"
  if picture := sources.pictures.get(key):
    sections.append(picture)
  if typed := command(registry, name):
    sections += ["## Use", f"```bash\n{typed}\n```"]
  sections += ["## Options", _options(registry, name)]
  if found:
    sections += ["## Properties", table(("property", "value"), _properties(found))]
    sections += _costs(name, found, sources.measurements)
  if key in sources.results:
    sections += ["## Results on tasks", sources.results[key]]
  if about.departures:
    items = "\n".join(f"- {prose(each)}" for each in about.departures)
    sections += ["## Departures from the paper", items]
  if found:
    laws = "\n".join(f"- {law}" for law in found.laws)
    sections += [
      "## Laws",
      "`--mode=check` tests these laws; all hold. "
      "[Checking](../../../guides/checking.md) explains them.",
      laws,
    ]
  return "\n\n".join(sections) + "\n"


def _introduction(about: Description) -> Iterator[str]:
  yield prose(about.heading)
  if about.summary != about.heading:
    yield prose(about.summary)
  if about.equation:
    yield equations(about.equation)
  yield from map(prose, filter(None, (about.details, about.notes)))


def _options(registry: Registry, name: str) -> str:
  found = options(registry, name)
  if not found:
    return "It has none."
  rows = [
    [
      code(each.name),
      code(each.type),
      code(each.default) or "required",
      prose(each.meaning),
    ]
    for each in found
  ]
  return table(("option", "type", "default", "meaning"), rows)


def _properties(found: Facts) -> Iterator[tuple[str, str]]:
  yield "kinds", ", ".join(found.kinds)
  schemes = ", ".join(link(name, f"../position/{name}.md") for name in found.positions)
  yield "positions", schemes
  default = found.default_position
  yield "position by default", link(default, f"../position/{default}.md")
  linear = "linear in the length" if found.linear_time else "not claimed to be linear"
  yield "time and memory", linear
  if not found.state_bytes:
    yield "decode state", "none: it is not causal"
  for length, size in found.state_bytes.items():
    constant = ", whatever the length" * found.constant_state
    yield (
      f"decode state at {length:,} tokens",
      f"{size:,} bytes per sequence and layer{constant}",
    )


def _ratio(measured: cost.Cost) -> str:
  """Return a ratio with two digits."""
  return f"{measured.ratio:.2g}" if measured.ratio < 10 else f"{measured.ratio:.0f}"


def _costs(
  name: str, found: Facts, measurements: Sequence[cost.Measurement]
) -> Iterator[str]:
  """Yield the measured times, by length."""
  measured = cost.of_attention(name, measurements)
  if measured is None:
    return
  by_length: dict[int, dict[str, str]] = {}
  for each in measured.costs[name]:
    text = f"{1e3 * each.seconds:.3g} ms"
    if name != measured.baseline:
      text += f" ({_ratio(each)})"
    by_length.setdefault(each.length, {})[each.kind] = text
  kinds = [kind for kind in cost.KINDS if kind != "decode" or found.state_bytes]
  rows = [
    [f"{length:,}", *(cells.get(kind, "does not fit") for kind in kinds)]
    for length, cells in by_length.items()
  ]
  yield "## Cost"
  yield (
    f"Time of one layer for one sequence ({measured.machine}); in brackets, over that of "
    f"`{measured.baseline}`. Decoding is per token, after that many."
  )
  yield table(("tokens", *kinds), rows)
  yield f"```bash\n{measured.command}\n```"
