"""The classes and functions that define a component, and those that its options name."""

import contextlib
from collections.abc import Iterator
from typing import Any

from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs
from attention_lab.plugin.registry import REGISTRIES, Registry


def definitions_of(registry: Registry, text: str) -> set[Any]:
  """Return the classes and functions that define the components of a spec or pattern.

  A class is defined by itself and by its base classes. An option may name another
  component, as in `randomized(of='rope')`; its classes count too. A name that several
  registries have is that of the component's own.
  """
  found: set[Any] = set()
  for spec in specs.parse_pattern(text):
    component = registry[spec.name]
    found.update(component.__mro__ if isinstance(component, type) else (component,))
    for option in spec.options.values():
      for other, name in _named(option, registry):
        with contextlib.suppress(UserError):  # Text that only begins like a spec.
          found |= definitions_of(other, name)
  return found


def _named(option: Any, own: Registry) -> Iterator[tuple[Registry, str]]:
  """Yield the components that the value of an option may name, with their registries."""
  if isinstance(option, (tuple, list)):
    for each in option:
      yield from _named(each, own)
  elif isinstance(option, str):
    name = option.partition("(")[0].strip()
    for registry in [own] if name in own else REGISTRIES:
      if name in registry:
        yield registry, option
