"""Contract of a component's class, verified when it is registered.

Python and Haiku report these mistakes later, once per use and without the plugin's line.
"""

import dataclasses
import difflib
import inspect
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from attention_lab.errors import UserError, line_of, nearest


class Names(NamedTuple):
  """Names that a class variable may hold, as a tuple or as the values of a mapping."""

  known: tuple[str, ...]
  may_be_empty: bool = False


class Contract(NamedTuple):
  """Contract of the components of one kind."""

  base: type  # Declares the methods and properties that a component must have.
  # The names that class variables may hold, by variable.
  names: Mapping[str, Names] = MappingProxyType({})
  # Arguments that a component's method may require in addition to those of its base.
  more_arguments: int = 0

  def refuse(self, component: Any) -> None:
    """Raise `UserError` if what is registered breaks the contract."""
    if not (isinstance(component, type) and issubclass(component, self.base)):
      raise UserError(f"it must be a subclass of {self.base.__name__}.")
    if "__dataclass_fields__" not in vars(component) and _annotates(component):
      raise UserError("put @dataclasses.dataclass(kw_only=True) below it.")
    _refuse_own_init(component, self.base)
    _refuse_missing_methods(component)
    for cls in _up_to(component, self.base):
      for name in vars(cls):
        if not name.startswith("_") or name == "__call__":
          self._refuse_other_form(component, cls, name)
    for variable, allowed in self.names.items():
      _refuse_unknown_names(component, variable, allowed)

  def _refuse_other_form(self, component: type, cls: type, name: str) -> None:
    """Raise `UserError` if a member cannot be used as the one that it overrides."""
    member, above = vars(cls)[name], _overridden(component, self.base, cls, name)
    if isinstance(above, property) and inspect.isfunction(member):
      raise UserError(
        f"{name} ({line_of(member)}) is a property: put @property above it."
      )
    if not inspect.isfunction(above):
      return
    if isinstance(member, property):
      raise UserError(f"{name} is a method: remove @property above it.")
    function = getattr(member, "__func__", member)  # Of a static or class method.
    if inspect.isfunction(function) and not _accepts(
      getattr(cls, name), above, member is function, self.more_arguments
    ):
      raise UserError(
        f"write {_form(name, above)}, not {_form(name, function)} "
        f"({line_of(function)})."
      )


class FunctionContract(NamedTuple):
  """Contract of components that are functions."""

  required: tuple[str, ...]  # Parameters that every function has.
  optional: tuple[
    str, ...
  ] = ()  # Parameters that are given to a function that has them.

  @property
  def given(self) -> tuple[str, ...]:
    """The parameters that are no options."""
    return self.required + self.optional

  def refuse(self, component: Any) -> None:
    """Raise `UserError` if what is registered breaks the contract."""
    if not inspect.isfunction(component):
      raise UserError("it must be a function.")
    known = inspect.signature(component).parameters
    by_name = (
      inspect.Parameter.POSITIONAL_OR_KEYWORD,
      inspect.Parameter.KEYWORD_ONLY,
    )
    for name, parameter in known.items():
      if parameter.kind not in by_name:
        raise UserError(
          f"{parameter} ({line_of(component)}) must have a name: {name}=."
        )
    for name in self.required:
      if name not in known:
        hint = nearest(name, known) if known else ""
        raise UserError(
          f"{component.__name__} ({line_of(component)}) must take {name}. {hint}".strip()
        )


def _annotates(component: type) -> bool:
  """Return whether a class annotates fields, which only a dataclass makes options."""
  hints = inspect.get_annotations(component).values()
  return any("ClassVar" not in str(hint) for hint in hints)


def _up_to(component: type, base: type) -> Iterator[type]:
  """Yield the classes of a component before its base, in the order of resolution."""
  for cls in component.__mro__:
    if cls is base:
      return
    yield cls


def _refuse_own_init(component: type, base: type) -> None:
  """Raise `UserError` if `__init__` is not the one that `dataclasses` generates."""
  if not dataclasses.is_dataclass(base):
    return
  for cls in _up_to(component, base):
    init = vars(cls).get("__init__")
    # The module dataclasses compiles a string.
    if inspect.isfunction(init) and not line_of(init).startswith("<string>"):
      raise UserError(
        f"__init__ ({line_of(init)}) must be omitted. Write options as fields, as in "
        f"`window: int = 64`, under @dataclasses.dataclass(kw_only=True); derive other "
        f"attributes in __post_init__, which begins with super().__post_init__()."
      )


def _refuse_missing_methods(component: type) -> None:
  missing = sorted(getattr(component, "__abstractmethods__", ()))
  if not missing:
    return
  name, above = missing[0], getattr(component, missing[0])
  inherited = {key for cls in component.__mro__[1:] for key in vars(cls)}
  own = [key for key in vars(component) if key not in inherited]
  near = difflib.get_close_matches(name, own, n=1)
  hint = f" It defines {near[0]!r}; did you mean {name!r}?" if near else ""
  raise UserError(f"it does not define {_form(name, above)}.{hint}")


def _overridden(component: type, base: type, cls: type, name: str) -> Any:
  """Return the member of the next class that declares the name; None if none does."""
  mro = component.__mro__
  for other in mro[mro.index(cls) + 1 :]:
    if issubclass(other, base) and name in vars(other):
      return vars(other)[name]
  return None


def _accepts(method: Any, above: Any, takes_self: bool, more: int) -> bool:
  """Return whether a method can be called with the arguments of the one above it.

  Args:
    method: the method, of a class.
    above: the function that it overrides, whose optional arguments may be omitted.
    takes_self: whether `method` takes the instance, as `above` does.
    more: number of arguments that `method` may require in addition.
  """
  kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
  expected = [
    p for p in inspect.signature(above).parameters.values() if p.kind in kinds
  ]
  required = sum(p.default is p.empty for p in expected)
  for count in range(required, len(expected) + more + 1):
    try:
      inspect.signature(method).bind(*range(count if takes_self else count - 1))
    except TypeError:
      continue
    return True
  return False


def _form(name: str, member: Any) -> str:
  """Return the form of a method or property, such as "attend(self, q, k, v, mask)"."""
  if isinstance(member, property):
    return f"the property {name}"
  signature = inspect.signature(member)
  parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
  return f"{name}{inspect.Signature(parameters)}"


def _refuse_unknown_names(component: type, variable: str, allowed: Names) -> None:
  value = getattr(component, variable)
  example = f"{variable} = ({allowed.known[0]!r},)"
  if isinstance(value, str):
    raise UserError(f"{variable} is the str {value!r}; write a tuple: ({value!r},).")
  held = value.values() if isinstance(value, Mapping) else value
  if not isinstance(value, tuple | list | Mapping):
    raise UserError(f"{variable} is {value!r}; write a tuple: {example}.")
  for name in held:
    if name not in allowed.known:
      raise UserError(f"{variable} names {name!r}. {nearest(str(name), allowed.known)}")
  if not held and not allowed.may_be_empty:
    raise UserError(f"{variable} is empty; name one or more of {allowed.known}.")
