"""Registry: names for parts, found by a decorator, with their options checked."""

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from attention_lab.errors import UserError, nearest
from attention_lab.plugin import spec as specs

LARGEST = 2**31  # What a whole number stays below.

Part = TypeVar("Part", bound=Callable[..., Any])


class Registry(Mapping[str, Callable[..., Any]]):
  """The parts of one kind, by name. A part's keyword parameters are its options.

  Args:
    kind: the word of the flag and of the messages, such as "attention".
    base: the class every part must inherit from; None where parts are functions.
    given: parameters that the experiment supplies and that are no options.
  """

  def __init__(self, kind: str, base: type | None = None, given: Iterable[str] = ()):
    self.kind = kind
    self.base = base
    self.given = frozenset(given)
    self._parts: dict[str, Callable[..., Any]] = {}

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

  def register(self, name: str) -> Callable[[Part], Part]:
    """A decorator that files a class (or function) under `name`.

    Raises:
      UserError: the name is taken or no identifier, the base class is another, or
        options were annotated on a class that is no dataclass.
    """

    def file(part: Part) -> Part:
      where = f"@register_{self.kind}({name!r}) on {part.__name__}"
      if not name.isidentifier():
        raise UserError(f"{where}: a name is a word of letters, digits and '_'.")
      if name in self._parts:
        taken = self._parts[name]
        raise UserError(f"{where}: {taken.__module__} already registered this name.")
      if self.base and not (isinstance(part, type) and issubclass(part, self.base)):
        raise UserError(f"{where}: it must be a subclass of {self.base.__name__}.")
      if self.base and "__dataclass_fields__" not in vars(part) and _annotated(part):
        raise UserError(f"{where}: put @dataclasses.dataclass(kw_only=True) below it.")
      self._parts[name] = part
      return part

    return file

  def options(self, name: str) -> dict[str, inspect.Parameter]:
    """The options of a part, in the order of their definition."""
    parameters = inspect.signature(self[name]).parameters
    hidden = self.given | {"name"}
    return {key: value for key, value in parameters.items() if key not in hidden}

  def bind(self, spec: str | specs.Spec) -> partial[Any]:
    """The part that a spec names, its options checked and bound.

    Args:
      spec: `name` or `name(option=value, ...)`.

    Raises:
      UserError: unknown name, unknown option, or a value of the wrong type.
    """
    if isinstance(spec, str):
      spec = specs.parse(spec)
    known = self.options(spec.name)
    part = self[spec.name]
    hints = typing.get_type_hints(part)
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
    return partial(part, **spec.options)


def _annotated(part: Any) -> bool:
  """Whether a class itself annotates what only a dataclass turns into options."""
  hints = inspect.get_annotations(part).values()
  return any("ClassVar" not in str(hint) for hint in hints)


def _fits(value: Any, hint: Any) -> bool:
  """Whether a literal has the annotated type; hints that are no plain types fit all."""
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
  """The names of a dataclass's fields: what a base class's subclasses are given."""
  return tuple(field.name for field in dataclasses.fields(cls))
