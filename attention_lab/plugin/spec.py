"""Specs: the name of a component with its options, `name(option=value)`, as a string.

A spec has the form of a Python call and is parsed with `ast`; it is never executed. A
pattern of layers consists of several specs: `sliding_window(window=64)*3,standard`.
"""

import ast
import warnings
from typing import Any, NamedTuple

from attention_lab.errors import UserError

LONGEST = 10_000  # Characters of a pattern.
MOST_LAYERS = 10_000  # Specs of a pattern.


class Spec(NamedTuple):
  """A name and its options."""

  name: str
  options: dict[str, Any]

  def __str__(self) -> str:
    options = ", ".join(f"{key}={value!r}" for key, value in self.options.items())
    return f"{self.name}({options})" if options else self.name


def parse(text: str) -> Spec:
  """Parse `name` or `name(option=value, ...)`; raise `UserError` on anything else."""
  specs = parse_pattern(text)
  if len(specs) != 1:
    raise UserError(f"{text!r} names {len(specs)} components, but one is expected.")
  return specs[0]


def parse_pattern(text: str) -> tuple[Spec, ...]:
  """Parse specs joined by commas, each with an optional `*repeats`."""
  if len(text) > LONGEST:
    raise UserError(
      f"{text[:40]!r}… has {len(text)} characters; a spec has at most {LONGEST}."
    )
  try:
    with warnings.catch_warnings(action="ignore"):  # An invalid escape in a path.
      tree = ast.parse(text.strip(), mode="eval").body
  except (SyntaxError, ValueError, MemoryError, RecursionError):
    raise _malformed(text) from None
  elements = tree.elts if isinstance(tree, ast.Tuple) else [tree]
  if not elements:
    raise _malformed(text)
  repeated = [_repeated(element, text) for element in elements]
  if (layers := sum(times for _, times in repeated)) > MOST_LAYERS:
    raise UserError(
      f"{text[:40]!r} names {layers} layers; a pattern has at most {MOST_LAYERS}."
    )
  return tuple(spec for spec, times in repeated for _ in range(times))


def distinct(text: str) -> list[str]:
  """Return the specs of a pattern as text, each once, in their order."""
  return list(dict.fromkeys(map(str, parse_pattern(text))))


def _repeated(node: ast.expr, text: str) -> tuple[Spec, int]:
  """Return a spec, and the number of layers that it stands for."""
  if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
    times = node.right.value if isinstance(node.right, ast.Constant) else None
    if type(times) is not int or not 1 <= times <= MOST_LAYERS:
      raise UserError(f"In {text!r}, write repeats as a whole number: name*3.")
    return _single(node.left, text), times
  return _single(node, text), 1


def _single(node: ast.expr, text: str) -> Spec:
  if isinstance(node, ast.Name):
    return Spec(node.id, {})
  if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
    raise _malformed(text)
  if node.args:
    raise UserError(f"In {text!r}, name every option: {node.func.id}(option=value).")
  options: dict[str, Any] = {}
  for keyword in node.keywords:
    if keyword.arg is None:
      raise _malformed(text)
    if keyword.arg in options:
      raise UserError(f"In {text!r}, the option {keyword.arg!r} is set twice.")
    options[keyword.arg] = _value(keyword.value, keyword.arg, text)
  return Spec(node.func.id, options)


def _value(node: ast.expr, option: str, text: str) -> Any:
  if isinstance(node, ast.Name):  # A bare word is a string: norm=pre.
    return node.id
  try:
    return ast.literal_eval(node)
  except (ValueError, TypeError, MemoryError, RecursionError):
    raise UserError(
      f"In {text!r}, the value of {option!r} is not a literal; "
      f"quote text: {option}='...'."
    ) from None


def _malformed(text: str) -> UserError:
  return UserError(
    f"{text!r} is not of the form name or name(option=value, ...); quote text values."
  )
