"""Options of a component: type, default, and the meaning that a comment gives."""

import ast
import inspect
import io
import itertools
import re
import textwrap
import tokenize
import typing
from typing import Any, NamedTuple

from attention_lab.catalogue.docstring import Component
from attention_lab.plugin.registry import Registry


class Option(NamedTuple):
  """An option, as text."""

  name: str
  type: str
  default: str  # As it is typed; "" if the option has to be set.
  meaning: str  # From the comment beside or above it; "" without one.


def options(registry: Registry, name: str) -> list[Option]:
  """Return the options of a component, in the order of their definition."""
  meanings, types = _meanings(registry[name]), typing.get_type_hints(registry[name])
  return [
    Option(
      key,
      _type(types.get(key)),
      _default(parameter.default),
      meanings.get(key, ""),
    )
    for key, parameter in registry.options(name).items()
  ]


def _type(annotation: Any) -> str:
  text = "" if annotation is None else inspect.formatannotation(annotation)
  text = re.sub(r"Optional\[(.*)\]", r"\1 | None", text)  # A range hides the bar.
  return text.replace("typing.", "")


def _default(value: Any) -> str:
  return "" if value is inspect.Parameter.empty else repr(value)


def _meanings(component: Component) -> dict[str, str]:
  """Return the comments of the fields of a class and its bases, or of the arguments."""
  classes = component.__mro__ if isinstance(component, type) else (component,)
  found: dict[str, str] = {}
  if component.__name__ == "<lambda>":  # Its source is the statement around it.
    return found
  for each in reversed(classes):
    try:
      source = textwrap.dedent(inspect.getsource(each))
    except (OSError, TypeError):  # Built in, or typed where no source is kept.
      continue
    found |= _comments(source)
  return found


def _comments(source: str) -> dict[str, str]:
  """Return the comment of each annotated field of a class, or argument of a function.

  It stands in the lines of the definition, or else directly above.
  """
  lines = source.splitlines()
  tokens = tokenize.generate_tokens(io.StringIO(source).readline)
  comments = {
    token.start[0]: token.string.lstrip("# ")
    for token in tokens
    if token.type == tokenize.COMMENT
  }
  found = {}
  for name, first, last in _definitions(ast.parse(source).body[0]):
    numbers = [i for i in range(first, last + 1) if i in comments]
    if not numbers:
      above = itertools.takewhile(
        lambda i: i in comments and _is_comment(lines[i - 1]), range(first - 1, 0, -1)
      )
      numbers = sorted(above)
    if numbers:
      found[name] = " ".join(comments[i] for i in numbers)
  return found


def _is_comment(line: str) -> bool:
  return line.lstrip().startswith("#")


def _definitions(node: ast.stmt) -> list[tuple[str, int, int]]:
  """Return name, first and last line of each field or argument."""
  if isinstance(node, ast.FunctionDef):
    arguments = [*node.args.args, *node.args.kwonlyargs]
    return [(each.arg, each.lineno, each.lineno) for each in arguments]
  assert isinstance(node, ast.ClassDef)
  return [
    (each.target.id, each.lineno, each.end_lineno or each.lineno)
    for each in node.body
    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
  ]
