"""The modules that define a component and the components that its options name."""

import contextlib
from collections.abc import Iterator
from typing import Any

from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs
from attention_lab.plugin.registry import REGISTRIES, Registry


def modules_of(registry: Registry, text: str) -> set[str]:
  """Return the names of the modules that define the components of a spec or pattern.

  A class is defined by its own module and by those of its base classes. An option may
  name another component, as in `randomized(of='rope')`; its modules count too. A name
  that several registries have is that of the component's own.
  """
  found: set[str] = set()
  for spec in specs.parse_pattern(text):
    component = registry[spec.name]
    bases = component.__mro__ if isinstance(component, type) else (component,)
    found.update(base.__module__ for base in bases)
    for option in spec.options.values():
      for other, name in _named(option, registry):
        with contextlib.suppress(UserError):  # Text that only begins like a spec.
          found |= modules_of(other, name)
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
