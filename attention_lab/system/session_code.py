"""Code that no file holds: classes and functions of a notebook's cells or of `exec`.

Its hash is made of its bytecode and constants, so that comments and lines do not count,
and of the values that it reads: globals, closures, defaults and class variables.
"""

import dataclasses
import dis
import functools
import hashlib
import inspect
import os
import re
import sys
import types
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
READS = ("LOAD_GLOBAL", "LOAD_NAME")


class SessionCode(NamedTuple):
  """Code without a file, and the modules that it uses."""

  hashes: dict[str, str]  # sha256 in hex of classes and functions, by dotted name.
  modules: set[str]  # Dotted names of the modules that define or hold the rest.


def session_code(definitions: Iterable[Any]) -> SessionCode:
  """Return the code without a file that classes and functions consist of and use.

  Args:
    definitions: classes and functions; one with a file is named by its module.
  """
  found, seen, waiting = SessionCode({}, set()), set[int](), list(definitions)
  while waiting:
    definition = waiting.pop()
    if id(definition) in seen:
      continue
    seen.add(id(definition))
    if has_file(definition):
      found.modules.add(definition.__module__)
      continue
    reader = _Reader()
    text = reader.definition(definition)
    name = f"{definition.__module__}.{definition.__qualname__}"
    earlier = found.hashes.get(name, "")  # A class may replace one of its name.
    found.hashes[name] = hashlib.sha256((earlier + text).encode()).hexdigest()
    found.modules.update(reader.modules)
    waiting += reader.uses
  return found


def has_file(definition: Any) -> bool:
  """Return whether a file, or Python itself, defines a class or function."""
  codes = list(_codes(definition))
  if not codes:
    module = sys.modules.get(definition.__module__)
    return any(getattr(module, name, None) for name in ("__file__", "__spec__"))
  files = (code.co_filename for code in codes)
  return all(os.path.isfile(file) or file.startswith("<frozen ") for file in files)


def _codes(definition: Any) -> Iterator[types.CodeType]:
  """Yield the code of a function, or that of the functions in the body of a class."""
  if isinstance(definition, types.FunctionType):
    yield definition.__code__
  else:
    for value in vars(definition).values():
      if _in_body(definition, function := _function_of(value)):
        yield function.__code__


def _in_body(cls: type, function: Any) -> bool:
  """Return whether a function is written in the body of a class, and not generated."""
  code = getattr(function, "__code__", None)
  return code is not None and code.co_qualname.startswith(f"{cls.__qualname__}.")


def _function_of(value: Any) -> Any:
  """Return the function that a member of a class wraps, or the value itself."""
  if isinstance(value, staticmethod | classmethod):
    value = value.__func__
  elif isinstance(value, property):
    value = value.fget
  elif isinstance(value, functools.cached_property):
    value = value.func
  return _unwrapped(value) if callable(value) else value


def _unwrapped(function: Any) -> Any:
  """Return the function below the wrappers that libraries have made."""
  return inspect.unwrap(
    function, stop=lambda f: isinstance(f, types.FunctionType) and not has_file(f)
  )


class _Reader:
  """Describes one class or function as text, and collects what it uses.

  Attributes:
    uses: the classes and functions.
    modules: dotted names of the modules.
  """

  def __init__(self) -> None:
    self.uses: list[Any] = []
    self.modules: set[str] = set()
    self._open: set[int] = set()  # Values that are being described.

  def definition(self, definition: Any) -> str:
    """Return the text of a class or function."""
    if isinstance(definition, types.FunctionType):
      return self._function(definition)
    self.uses += definition.__mro__[1:]
    made = vars(definition).get("__dataclass_fields__", {}).values()
    factories = {
      field.name: field.default_factory
      for field in made
      if field.default_factory is not dataclasses.MISSING
    }
    members = [
      f"{base.__module__}.{base.__qualname__}" for base in definition.__bases__
    ]
    members.append(self._value(factories))
    for name, value in vars(definition).items():
      function = _function_of(value)
      if _in_body(definition, function):
        members.append(f"{name}={type(value).__name__} {self._function(function)}")
      elif not name.startswith("__") and name != "_abc_impl":
        members.append(f"{name}={self._value(value)}")
    return "\n".join(members)

  def _function(self, function: types.FunctionType) -> str:
    code = function.__code__
    names = sorted(_globals_read(code) & set(function.__globals__))
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    parts = [
      self._code(code),
      self._value((function.__defaults__, function.__kwdefaults__)),
      *(f"{name}={self._value(function.__globals__[name])}" for name in names),
      *(f"{name}={self._cell(cell)}" for name, cell in cells),
    ]
    return "\n".join(parts)

  def _cell(self, cell: types.CellType) -> str:
    try:
      return self._value(cell.cell_contents)
    except ValueError:
      return "empty"

  def _code(self, code: types.CodeType) -> str:
    for instruction in dis.get_instructions(code):
      if instruction.opname == "IMPORT_NAME":
        self.modules.add(str(instruction.argval))
    words = (code.co_code, code.co_exceptiontable, code.co_names, code.co_varnames)
    return f"{words} {self._value(code.co_consts)}"

  def _value(self, value: Any) -> str:
    """Return a text that is equal for equal values."""
    if id(value) in self._open:
      return "itself"
    self._open.add(id(value))
    try:
      return f"{type(value).__qualname__} {self._content(value)}"
    finally:
      self._open.discard(id(value))

  def _content(self, value: Any) -> str:
    if isinstance(value, types.ModuleType):
      self.modules.add(value.__name__)
      return value.__name__
    if isinstance(value, types.CodeType):
      return self._code(value)
    if isinstance(value, type | types.FunctionType):
      value = _unwrapped(value)
      self.uses.append(value)
      return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, list | tuple | set | frozenset | dict):
      return self._collection(value)
    if hasattr(value, "__array__"):
      array = np.asarray(value)
      return (
        f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
      )
    return self._object(value)

  def _collection(self, value: Any) -> str:
    items = [
      self._value(x) for x in (value.items() if isinstance(value, dict) else value)
    ]
    return ", ".join(sorted(items) if isinstance(value, set | frozenset) else items)

  def _object(self, value: Any) -> str:
    """Return the text of another object: a wrapped function, or one that has a repr."""
    held = getattr(value, "__dict__", {})
    if has_file(type(value)):  # Of a library's objects, functions alone are followed.
      held = {key: x for key, x in held.items() if isinstance(x, types.FunctionType)}
    else:
      self.uses.append(type(value))
    if isinstance(value, functools.partial):
      held = {**held, "": (value.func, value.args, value.keywords)}
    if callable(value):
      held = {**held, "wrapped": _unwrapped(value)}
    return f"{ADDRESS.sub('', repr(value))} {self._value(held)}"


def _globals_read(code: types.CodeType) -> set[str]:
  """Return the names of the globals that code reads, nested functions included."""
  found = {
    str(each.argval) for each in dis.get_instructions(code) if each.opname in READS
  }
  inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
  return found.union(*map(_globals_read, inner))
