"""Figures of time and memory by sequence length, with the crossings of two attentions."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from attention_lab.benchmark.scaling import crossover, exponent
from attention_lab.compare.report.figures.alternative import course
from attention_lab.compare.report.figures.marks import colour
from attention_lab.compare.report.figures.palette import Palette
from attention_lab.compare.report.figures.svg import (
  Figure,
  Series,
  draw,
  paint_series,
)

KINDS = {
  "forward": "forward pass",
  "gradient": "gradient computation",
  "decode": "decoded token",
}
Costs = Mapping[str, Mapping[int, float]]  # Attention → length → cost.


class Resource(NamedTuple):
  """A resource whose cost is measured."""

  key: str  # Key of the records.
  name: str
  label: str  # Label of the axis.
  scale: float  # Factor from the record's unit to the label's.
  cheaper: str  # Verb and object of "A takes less time than B".


RESOURCES = (
  Resource("seconds", "time", "time (ms)", 1e3, "takes less time"),
  Resource("memory_bytes", "memory", "memory (MiB)", 2.0**-20, "needs less memory"),
)


def costs(records: Sequence[Mapping[str, Any]], palette: Palette) -> list[Figure]:
  """Return a log-log figure for each kind and resource, with the crossings marked.

  Args:
    records: records of --mode=benchmark; the first attention is the baseline.
    palette: the colours of the attentions.
  """
  figures = []
  for kind, call in KINDS.items():
    for resource in RESOURCES:
      found = _measured(records, kind, resource)
      if found:
        figures.append(_figure(found, kind, call, resource, palette))
  return figures


def _measured(
  records: Sequence[Mapping[str, Any]], kind: str, resource: Resource
) -> dict[str, dict[int, float]]:
  """Return the positive costs by attention and length; others have no logarithm.

  A record without a time, because memory was exhausted, is left out.
  """
  found: dict[str, dict[int, float]] = {}
  for record in records:
    if record["kind"] == kind and record.get("seconds") and record.get(resource.key):
      cost = record[resource.key] * resource.scale
      found.setdefault(record["attention"], {})[record["length"]] = cost
  return found


def _figure(
  found: Costs, kind: str, call: str, resource: Resource, palette: Palette
) -> Figure:
  baseline, *others = found
  series = [
    Series(palette.index(name), *_points(by_length))
    for name, by_length in found.items()
  ]
  crossings = {name: crossover(found[baseline], found[name]) for name in others}

  def paint(axes: Any) -> None:
    paint_series(axes, series)
    ticks = sorted({length for by_length in found.values() for length in by_length})
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,g}")
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="length (tokens)", ylabel=resource.label)
    for name, length in crossings.items():
      if length is not None and length > min(ticks):
        _mark(axes, palette.index(name), length)

  title = f"{resource.name.capitalize()} per {call}"
  key = f"cost-{kind}-{resource.name}"
  svg = draw(
    key, course(f"{title} by length; {resource.label}", [*found], series, ",.3g"), paint
  )
  sentences = [_growth(resource, found)]
  sentences += [
    _crossing(resource, baseline, name, length, found)
    for name, length in crossings.items()
  ]
  return Figure(key, title, svg, "\n".join(filter(None, sentences)))


def _points(by_length: Mapping[int, float]) -> tuple[list[float], list[float]]:
  lengths = sorted(by_length)
  return [float(length) for length in lengths], [by_length[n] for n in lengths]


def _mark(axes: Any, index: int, length: float) -> None:
  gid = f"series-{index}"
  axes.axvline(length, color=colour(index), linewidth=1, dashes=(2, 2), gid=gid)


def _growth(resource: Resource, found: Costs) -> str:
  exponents = [
    f"{name} as length^{exponent(by_length):.2f}"  # type: ignore[arg-type]
    for name, by_length in found.items()
    if len(by_length) > 1
  ]
  text = ", ".join(exponents)
  return f"Growth of {resource.name}: {text}." if text else ""


def _crossing(
  resource: Resource, baseline: str, name: str, length: float | None, found: Costs
) -> str:
  common = set(found[baseline]) & set(found[name])
  if not common:
    return ""
  if length is None:
    return (
      f"{name} never {resource.cheaper} than {baseline} up to {max(common):,} tokens."
    )
  if length <= min(common):
    return f"{name} {resource.cheaper} than {baseline} at every length measured."
  return (
    f"{name} {resource.cheaper} than {baseline} from about {length:,.0f} tokens on."
  )
