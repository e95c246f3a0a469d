"""Classes in place of names: components that no file registers."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from attention_lab.architecture.base.architecture import architectures
from attention_lab.attention.base.attention import Attention, attentions
from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError
from attention_lab.plugin.registry import Registry
from attention_lab.position.base.position import positions

# The settings that a class may stand for, each with the registry of its components.
REGISTRIES: Mapping[str, Registry] = {
  "attention": attentions,
  "position": positions,
  "dataset": datasets,
  "architecture.name": architectures,
}
Classes = Mapping[str, type]  # By setting.


def classes_among(settings: Mapping[str, Any]) -> dict[str, type]:
  """Return the classes among values of settings.

  Raises:
    UserError: a setting does not name a component, or its value is neither text nor class.
  """
  found = {key: value for key, value in settings.items() if isinstance(value, type)}
  for key, value in found.items():
    if key not in REGISTRIES:
      raise UserError(f"{key} takes no class, and {value.__name__} is one.")
  return found


@contextlib.contextmanager
def held(classes: Classes, names: Mapping[str, str] | None = None) -> Iterator[Any]:
  """Hold classes in their registries for a context, which gets their names by setting.

  Args:
    classes: the classes.
    names: their names by setting; None for their own.

  Raises:
    UserError: a class breaks the contract of its components.
  """
  with contextlib.ExitStack() as stack:
    yield {
      key: stack.enter_context(
        REGISTRIES[key].registered(component, names[key] if names else "")
      )
      for key, component in classes.items()
    }


@contextlib.contextmanager
def named(attention: str | type[Attention], function: str) -> Iterator[str]:
  """Yield the name of an attention; a class has one for as long as the context.

  Args:
    attention: name or class.
    function: the function of the API that takes it, for the message.

  Raises:
    UserError: it is neither, or the class breaks the contract.
  """
  if isinstance(attention, str):
    yield attention
  elif isinstance(attention, type):
    with held({"attention": attention}) as names:
      yield names["attention"]
  else:
    raise UserError(
      f"{function} takes names and subclasses of attention_lab.Attention, not "
      f"{attention!r}."
    )
