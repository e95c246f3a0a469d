"""Options of an attention: numbers of tokens that they name, and values to test."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError

# Parts of names of options that are no numbers of tokens.
NO_TOKENS = ("head", "seed", "feature", "iteration", "rank", "order")
LARGEST = 700  # Three times a larger number of tokens is not tested.


def option_sizes(subject: Subject) -> list[int]:
  """Return numbers of tokens that the options may name, such as a window or a block."""
  found = {
    value
    for name, value in subject.values.items()
    if type(value) is int and not any(word in name for word in NO_TOKENS)
  }
  return sorted(value for value in found if 2 <= value <= LARGEST)


def is_field(subject: Subject, name: str) -> bool:
  """Return whether an option is a field, whose values can be found."""
  return name in _fields(subject)


def metadata(subject: Subject, name: str) -> typing.Mapping[str, Any]:
  """Return the metadata of an option's field."""
  return _fields(subject)[name].metadata


def declared_values(subject: Subject, name: str) -> list[Any]:
  """Return the values that an option declares, in its metadata or its type."""
  annotation = typing.get_type_hints(subject.cls).get(name, Any)
  types = typing.get_args(annotation) or (annotation,)
  choices = [*metadata(subject, name).get("choices", ())]
  return choices + [choice for type_ in types for choice in _listed_values(type_)]


def other_values(subject: Subject, name: str) -> list[Any]:
  """Return other values that an option may take: declared ones, or of its type."""
  value, choices = subject.values[name], declared_values(subject, name)
  if isinstance(value, bool):
    choices += [not value]
  elif isinstance(value, int):
    choices += [max(1, value // 2), value + 1, 2 * value, 3, 2, 1]
  elif isinstance(value, float):
    choices += [value / 2, value + 0.25, 2 * value, 1 - value]
  elif value is None and not choices:
    choices += [1, 2, 4, 0.5]
  return [choice for choice in dict.fromkeys(choices) if choice != value]


def accepted_variants(
  subject: Subject, name: str, values: list[Any]
) -> Iterator[tuple[Any, Subject]]:
  """Yield the attention with each value of an option that it accepts."""
  for value in values:
    try:
      other = subject.variant(**{name: value})
    except UserError:  # The value does not fit the sizes or the other options.
      continue
    yield value, other


def _fields(subject: Subject) -> dict[str, Any]:
  return {field.name: field for field in dataclasses.fields(subject.cls)}


def _listed_values(annotation: Any) -> list[Any]:
  """Return the values that a type annotation lists."""
  if typing.get_origin(annotation) is typing.Literal:
    return list(typing.get_args(annotation))
  if annotation is bool:
    return [True, False]
  is_type = isinstance(annotation, type) or annotation in (Any, type(None))
  return [] if is_type or typing.get_origin(annotation) else [annotation]
