"""Registry: components by name, registered by a decorator, their options checked."""

import contextlib
import dataclasses
import inspect
import itertools
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from attention_lab.errors import UserError, nearest
from attention_lab.plugin import spec as specs
from attention_lab.plugin.contract import Contract, FunctionContract
from attention_lab.plugin.ranges import refuse_outside
from attention_lab.system.session_code import has_file

LARGEST = 2**31  # Exclusive bound of whole numbers.

Component = TypeVar("Component", bound=Callable[..., Any])

REGISTRIES: list["Registry"] = []  # Every registry.


class Registry(Mapping[str, Callable[..., Any]]):
  """The components of one kind, by name. Their keyword parameters are their options.

  Args:
    kind: the word of the flag and of messages, such as "attention".
    contract: what every component must have.
    given: parameters that the experiment supplies, which are not options.
    setting: the setting that names a component; "" if none does.
  """

  def __init__(
    self,
    kind: str,
    contract: Contract | FunctionContract,
    given: Iterable[str],
    setting: str = "",
  ):
    self.kind = kind
    self.setting = setting
    self.contract = contract
    self.given = frozenset(given)
    self._parts: dict[str, Callable[..., Any]] = {}
    REGISTRIES.append(self)

  def __getitem__(self, name: str) -> Callable[..., Any]:
    try:
      return self._parts[name]
    except KeyError:
      article = "an" if self.kind[0] in "aeiou" else "a"
      raise UserError(
        f"{name!r} is not {article} {self.kind}. {nearest(name, self._parts)}"
      ) from None

  def __contains__(self, name: object) -> bool:
    return name in self._parts

  def __iter__(self) -> Iterator[str]:
    return iter(sorted(self._parts))

  def __len__(self) -> int:
    return len(self._parts)

  def register(self, name: str) -> Callable[[Component], Component]:
    """Return a decorator that registers a class (or function) under `name`.

    Raises:
      UserError: the name is taken or not an identifier, or the class breaks the
        contract. A notebook's cell may define its class once more.
    """
    if not isinstance(name, str):
      raise UserError(f'Write a name: @register_{self.kind}("name").')

    def decorate(component: Component) -> Component:
      where = f"@register_{self.kind}({name!r}) on {component.__name__}"
      if not name.isidentifier():
        raise UserError(f"{where}: a name is a word of letters, digits and '_'.")
      taken = self._parts.get(name)
      if taken is not None and not _redefines(component, taken):
        raise UserError(f"{where}: {taken.__module__} already registered this name.")
      try:
        self.contract.refuse(component)
      except UserError as error:
        raise UserError(f"{where}: {error}") from None
      self._parts[name] = component
      return component

    return decorate

  @contextlib.contextmanager
  def registered(self, component: Callable[..., Any], name: str = "") -> Iterator[str]:
    """Hold a component in the registry for a context, which gets its name.

    One that is not registered gets its own name in lower case, such as "my_linear" for
    `MyLinear`, followed by a number if that is taken.

    Args:
      component: the component.
      name: the name to hold it under, in place of any other; "" for its own.

    Raises:
      UserError: the component breaks the contract.
    """
    for known, other in self._parts.items():
      if other is component and name in ("", known):
        yield known
        return
    try:
      self.contract.refuse(component)
    except UserError as error:
      raise UserError(f"{component.__name__}: {error}") from None
    name = name or self._own_name(component)
    before = dict(self._parts)
    self._parts[name] = component
    try:
      yield name
    finally:
      del self._parts[name]
      if name in before:
        self._parts[name] = before[name]

  def _own_name(self, component: Callable[..., Any]) -> str:
    """Return a component's name in lower case, with a number if that is taken."""
    word = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", component.__name__).lower()
    names = itertools.chain([word], (f"{word}_{i}" for i in itertools.count(2)))
    return next(each for each in names if each not in self._parts)

  def options(self, name: str) -> dict[str, inspect.Parameter]:
    """Return the options of a component, in the order of their definition."""
    parameters = inspect.signature(self[name]).parameters
    hidden = self.given | {"name"}
    return {key: value for key, value in parameters.items() if key not in hidden}

  def bind(self, spec: str | specs.Spec) -> partial[Any]:
    """Return the component that a spec names, with its options checked and bound.

    Args:
      spec: `name` or `name(option=value, ...)`.

    Raises:
      UserError: an unknown name or option, or a value of another type.
    """
    if isinstance(spec, str):
      spec = specs.parse(spec)
    known = self.options(spec.name)
    component = self[spec.name]
    hints = typing.get_type_hints(component)
    for option, value in spec.options.items():
      if option not in known:
        hint = nearest(option, known) if known else "It has none."
        raise UserError(
          f"The {self.kind} {spec.name!r} has no option {option!r}. {hint}"
        )
      if not _fits(value, hints.get(option, Any)):
        expected = inspect.formatannotation(hints[option])
        raise UserError(f"{spec.name}({option}={value!r}): expected {expected}.")
      if type(value) is int and abs(value) >= LARGEST:
        raise UserError(f"{spec.name}({option}={value}): take less than {LARGEST}.")
    missing = [
      key
      for key, parameter in known.items()
      if parameter.default is parameter.empty and key not in spec.options
    ]
    if missing:
      raise UserError(
        f"The {self.kind} {spec.name!r} needs an option: {spec.name}({missing[0]}=...)."
      )
    refuse_outside(spec.name, component, spec.options)
    return partial(component, **spec.options)


def by_setting() -> dict[str, Registry]:
  """Return the registries by the setting that names their components."""
  return {each.setting: each for each in REGISTRIES if each.setting}


def _redefines(component: Any, taken: Any) -> bool:
  """Return whether a component is one of a session, defined once more."""
  same = all(
    getattr(component, key) == getattr(taken, key)
    for key in ("__module__", "__qualname__")
  )
  return same and not has_file(component)


def _fits(value: Any, hint: Any) -> bool:
  """Return whether a literal has the annotated type; hints of other forms accept all."""
  if typing.get_origin(hint) in (typing.Union, types.UnionType):
    return any(_fits(value, choice) for choice in typing.get_args(hint))
  if typing.get_origin(hint) is typing.Literal:
    return value in typing.get_args(hint)
  if hint is float:
    return type(value) in (int, float) and math.isfinite(value)
  if hint in (int, bool, str, type(None)):
    return type(value) is hint
  origin = typing.get_origin(hint) or hint
  return origin not in (tuple, list, dict) or isinstance(value, origin)


def fields_of(cls: type) -> tuple[str, ...]:
  """Return the names of the fields of a dataclass."""
  return tuple(field.name for field in dataclasses.fields(cls))
