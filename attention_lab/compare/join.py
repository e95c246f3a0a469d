"""Joining of finished runs and comparisons into one comparison, for --mode=report."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab import config as configs
from attention_lab.compare import comparable, grid, stored_maps
from attention_lab.compare.analysis.differences import DEFAULT_MARGIN
from attention_lab.compare.analysis.record import Comparison, Maps, Row
from attention_lab.compare.analysis.wording import listed, row_name
from attention_lab.compare.provenance import provenance
from attention_lab.compare.sources import Cell, Source
from attention_lab.config import Config
from attention_lab.errors import UserError

Identity = tuple[tuple[str, str], ...]  # The settings of a row, with their values.


class Joined(NamedTuple):
  """A row: the runs of equal configurations, the first folder's first."""

  cells: Sequence[Cell]

  @property
  def config(self) -> Config:
    """The configuration of its first run."""
    return self.cells[0].config

  @property
  def named(self) -> Cell:
    """The first of its runs that a comparison has named, else its first run."""
    return next((cell for cell in self.cells if cell.name), self.cells[0])


def join(
  sources: Sequence[Source], command: str, margin: str = "", keep: bool = False
) -> Comparison:
  """Return the runs of all folders as one comparison.

  Args:
    sources: the folders, that of the baseline first.
    command: the command line.
    margin: the setting compare.margin; "" for that of the comparisons.
    keep: whether runs of other code or data are accepted.

  Raises:
    UserError: the runs are not comparable.
  """
  cells = [cell for source in sources for cell in source.cells]
  comparable.refuse_other_steps(cells)
  groups: dict[Identity, list[Cell]] = {}
  for cell in cells:
    groups.setdefault(_identity(cell.config), []).append(cell)
  if not keep:
    comparable.refuse_other_data(cells)
    comparable.refuse_other_code(list(groups.values()))
  joined = {
    identity: Joined(comparable.without_repeats(group))
    for identity, group in groups.items()
  }
  ordered = sorted(joined, key=lambda identity: bool(joined[identity].named.matched))
  rows = {identity: joined[identity] for identity in ordered}
  return _comparison(sources, rows, command, margin or _margin(sources))


def _comparison(
  sources: Sequence[Source], rows: Mapping[Identity, Joined], command: str, margin: str
) -> Comparison:
  first = next(iter(rows.values())).config
  tuned = comparable.tuned_settings([row.named for row in rows.values()])
  chosen = [row.config for row in rows.values() if not row.named.matched]
  varied = [key for key in _varied(chosen) if key not in tuned]
  names = _names(rows, varied)
  made = [_row(row, first, names, tuned) for row in rows.values()]
  settings = dict(configs.flatten(first))
  differing = {key for row in made for key in row.settings}
  seeds = len({run.seed for row in made for run in row.runs})
  costs = [source for source in sources if source.rows or source.records]
  found = provenance(made)
  if len(costs) > 1:
    folders = listed([str(source.folder) for source in costs])
    found["costs"] = f"measured at different times, by the comparisons in {folders}"
  return Comparison(
    command=command,
    rows=made,
    seeds=seeds,
    steps=comparable.steps_of(next(iter(rows.values())).cells[0]),
    provenance=found,
    costs=_records(costs),
    row_costs=_row_costs(costs, names),
    baseline={key: settings[key] for key in settings if key in differing},
    dataset=str(settings["dataset"]),
    about=_about(sources, varied),
    margin=margin,
    looks=_looks(sources, seeds),
    settings=settings,
    joined=[str(source.folder) for source in sources],
  )


def _identity(config: Config) -> Identity:
  """Return the settings that tell rows apart, besides the number of steps."""
  return tuple(
    (key, repr(value))
    for key, value in sorted(configs.flatten(config))
    if not (configs.is_resumable(key) or key in ("seed", "steps"))
  )


def _differences(first: Config, config: Config) -> dict[str, Any]:
  """Return the settings in which a row differs from the baseline, with its values."""
  names = [name for name, _ in _identity(config)]
  changed = configs.differences(first, config, ignore=lambda key: key not in names)
  return {key: new for key, (_, new) in changed.items()}


def _varied(rows: Sequence[Config]) -> list[str]:
  """Return the settings in which rows differ."""
  found = {key for config in rows for key in _differences(rows[0], config)}
  return [key for key, _ in configs.flatten(configs.get_config()) if key in found]


def _names(rows: Mapping[Identity, Joined], varied: Sequence[str]) -> dict[Any, str]:
  """Return the name of each row, by its identity and by the names in its comparisons.

  The name in its comparison is kept; if several rows have it, the settings in which these
  differ are added.

  Raises:
    UserError: a row would have the name of another.
  """
  given: dict[str, list[Identity]] = {}
  for identity, row in rows.items():
    name = row.named.name or _described(row.config, varied, str(row.config.attention))
    given.setdefault(name, []).append(identity)
  found: dict[Any, str] = {}
  for name, group in given.items():
    differing = _varied([rows[identity].config for identity in group])
    for identity in group:
      found[identity] = _described(rows[identity].config, differing, name)
  repeated = [name for name, number in Counter(found.values()).items() if number > 1]
  if repeated:
    raise UserError(f"Several rows would have the name {repeated[0]!r}. Leave one out.")
  for identity, row in rows.items():
    for cell in row.cells:
      found[cell.source, cell.name] = found[identity]
  return found


def _described(config: Config, keys: Sequence[str], name: str) -> str:
  """Return a name, followed by a configuration's values of settings that are not None."""
  settings = dict(configs.flatten(config))
  values = {key: settings[key] for key in keys if settings[key] is not None}
  return row_name(values, name)


def _row(
  row: Joined, first: Config, names: Mapping[Any, str], tuned: Sequence[str]
) -> Row:
  named, values = row.named, dict(configs.flatten(row.config))
  differing = _differences(first, row.config)
  return Row(
    name=names[_identity(row.config)],
    settings={key: new for key, new in differing.items() if key not in tuned},
    matched=named.matched,
    runs=[cell.run for cell in row.cells],
    maps=_maps(row),
    made_from=names.get((named.source, named.made_from), "") if named.made_from else "",
    note=comparable.note(row.cells),
    against=tuple(
      names[named.source, other]
      for other in named.against
      if (named.source, other) in names
    ),
    tuned=named.tuned,
    chosen={key: values[key] for key in tuned},
  )


def _maps(row: Joined) -> Maps | None:
  """Return the maps that a comparison has stored of the first run that has some."""
  for cell in row.cells:
    for code in cell.codes[-1:]:
      path = stored_maps.path_of(cell.run.folder, code)
      if path and path.exists():
        return stored_maps.read(path)
  return None


def _about(sources: Sequence[Source], varied: Sequence[str]) -> str:
  """Return the setting that the comparison is about."""
  stored = {source.about for source in sources}
  if len(stored) == 1 and stored <= set(varied):
    return stored.pop()
  return grid.subject(varied) if varied else Comparison._field_defaults["about"]


def _margin(sources: Sequence[Source]) -> str:
  """Return the margin of the comparisons; raise `UserError` if they have several."""
  known: dict[str, Path] = {}
  for source in sources:
    if source.margin:
      known.setdefault(source.margin, source.folder)
  if len(known) > 1:
    texts = [f"{folder} has {margin}" for margin, folder in known.items()]
    raise UserError(
      f"The comparisons have different margins: {listed(texts)}. Type "
      f"--config.compare.margin={next(iter(known))}, for example."
    )
  return next(iter(known), DEFAULT_MARGIN)


def _looks(sources: Sequence[Source], seeds: int) -> list[int]:
  """Return the looks of the comparison that had most, the last one at all seeds."""
  longest = max((list(source.looks) for source in sources), key=len)
  return [*[look for look in longest[:-1] if look < seeds], seeds]


def _records(sources: Sequence[Source]) -> list[Mapping[str, Any]]:
  """Return the measured costs of attentions, each once."""
  found: dict[tuple[Any, ...], Mapping[str, Any]] = {}
  for source in sources:
    for record in source.records:
      key = tuple(record[name] for name in ("attention", "length", "kind"))
      found.setdefault(key, record)
  return list(found.values())


def _row_costs(
  sources: Sequence[Source], names: Mapping[Any, str]
) -> dict[str, Mapping[str, Any]]:
  """Return the measured costs of rows by their names in the report, each once."""
  found: dict[str, Mapping[str, Any]] = {}
  for source in sources:
    for name, cost in source.rows.items():
      if (source.folder, name) in names:
        found.setdefault(names[source.folder, name], cost)
  return found
