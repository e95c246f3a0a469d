"""Shapes of stored JSON: a file that may be someone else's is compared before it is used.

A shape is one of:

- `str`, `bool`, `dict`, `list` or `object` (anything);
- `int`, a whole number of less than 64 bits, or `float`, any number; numbers that are not
  finite may be written by name, as `files.finite_or_named` does;
- a set of texts: one of them;
- `[shape]`: a list of any length, and `(shape, shape)`: one of this length;
- `{"name": shape, "other?": shape}`: an object with these fields, and others. One whose
  name ends in ? may be missing;
- `{str: shape}` or `{int: shape}`: an object whose keys are any text or whole numbers;
- `Only`, `OrNull`, `Either` and `AtLeast`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab.errors import UserError
from attention_lab.system.files import read_json

NOT_FINITE = ("nan", "inf", "-inf")
_KINDS = {
  str: "text",
  bool: "true or false",
  dict: "an object",
  list: "a list",
  int: "a whole number",
  float: "a number",
}


class Only(NamedTuple):
  """An object with these fields and no others."""

  fields: Mapping[str, Any]


class OrNull(NamedTuple):
  """A shape, or null."""

  shape: Any


class Either(NamedTuple):
  """One of two shapes."""

  first: Any
  second: Any


class AtLeast(NamedTuple):
  """A number of this kind, and not below a bound."""

  kind: type
  low: float


def read_shaped(path: Path, shape: Any) -> Any:
  """Return the content of a JSON file; raise `UserError` unless it has a shape."""
  content = read_json(path)
  refuse_malformed(path, content, shape)
  return content


def refuse_malformed(path: Path, content: Any, shape: Any) -> None:
  """Raise `UserError` that names the file and the field unless content has a shape."""
  for field, problem in _problems(content, shape, ""):
    raise UserError(f"{path}: {field or 'its content'} {problem}.")


def _problems(content: Any, shape: Any, field: str) -> Iterator[tuple[str, str]]:
  """Yield fields that do not have their shape, each with what is wrong."""
  if isinstance(shape, OrNull | Either | AtLeast | Only):
    yield from _of_named(content, shape, field)
  elif isinstance(shape, frozenset):
    if not (isinstance(content, str) and content in shape):
      known = ", ".join(sorted(shape))
      yield field, f"is {_described(content)}, expected one of {known}"
  elif isinstance(shape, list | tuple):
    yield from _of_list(content, shape, field)
  elif isinstance(shape, dict):
    yield from _of_object(content, shape, field)
  elif shape is not object and not _is_a(content, shape):
    yield field, f"is {_described(content)}, expected {_KINDS[shape]}"


def _of_named(
  content: Any, shape: OrNull | Either | AtLeast | Only, field: str
) -> Iterator[tuple[str, str]]:
  match shape:
    case OrNull(inner):
      if content is not None:
        yield from _problems(content, inner, field)
    case Either(first, second):
      if any(_problems(content, first, field)):
        yield from _problems(content, second, field)
    case AtLeast(kind, low):
      yield from _problems(content, kind, field)
      if _is_number(content) and not content >= low:
        yield field, f"is {content}, expected {low} or more"
    case Only(fields):
      yield from _problems(content, fields, field)
      known = {name.removesuffix("?") for name in fields}
      for name in content if isinstance(content, dict) else ():
        if name not in known:
          yield _inside(field, name), "is unknown"


def _of_list(
  content: Any, shape: Sequence[Any], field: str
) -> Iterator[tuple[str, str]]:
  if not isinstance(content, list):
    yield field, f"is {_described(content)}, expected a list"
  elif isinstance(shape, tuple) and len(content) != len(shape):
    yield field, f"has {len(content)} items, expected {len(shape)}"
  else:
    shapes = shape if isinstance(shape, tuple) else [shape[0]] * len(content)
    for index, (item, own) in enumerate(zip(content, shapes, strict=True)):
      yield from _problems(item, own, f"{field}[{index}]")


def _of_object(
  content: Any, shape: Mapping[Any, Any], field: str
) -> Iterator[tuple[str, str]]:
  if not isinstance(content, dict):
    yield field, f"is {_described(content)}, expected an object"
    return
  for key, inner in shape.items():
    if key is str or key is int:
      for name, value in content.items():
        if key is int and not (name.isascii() and name.isdigit() and len(name) < 19):
          yield _inside(field, name), "has a name that is no whole number"
        yield from _problems(value, inner, _inside(field, name))
    elif (name := key.removesuffix("?")) in content:
      yield from _problems(content[name], inner, _inside(field, name))
    elif name == key:
      yield _inside(field, key), "is missing"


def _inside(field: str, name: str) -> str:
  return f"{field}.{name}" if field else name


def _is_number(content: Any) -> bool:
  return isinstance(content, int | float) and not isinstance(content, bool)


def _is_a(content: Any, kind: type) -> bool:
  """Return whether a value is of a kind of `_KINDS`."""
  if kind is int:
    return type(content) is int and content.bit_length() < 64
  if kind is float:
    if type(content) is int:
      return content.bit_length() < 1024
    return isinstance(content, float) or content in NOT_FINITE
  return type(content) is kind


def _described(content: Any) -> str:
  """Return a value in a few words."""
  if content is None:
    return "null"
  if _is_number(content):
    text = f"{content:.6g}" if isinstance(content, float) else "a huge number"
    small = type(content) is int and content.bit_length() < 64
    return str(content) if small else text
  if isinstance(content, str):
    return f"{content[:40]!r}"
  return _KINDS[type(content)]
