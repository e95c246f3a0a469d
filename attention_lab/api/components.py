"""Classes and functions in place of names: components that no file registers."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypedDict

from attention_lab.architecture.base.architecture import Architecture
from attention_lab.attention.base.attention import Attention
from attention_lab.block.base.block import Block
from attention_lab.config import Config, flatten
from attention_lab.dataset.base.dataset import Dataset
from attention_lab.errors import UserError
from attention_lab.norm.base.norm import Norm
from attention_lab.plugin.registry import by_setting
from attention_lab.position.base.position import Position

Classes = Mapping[str, Callable[..., Any]]  # By setting.


class Components(TypedDict, total=False):
  """Components of a run that nothing registers, by the keyword that `train` takes.

  Attributes:
    attention: the class, if the run was trained with one that is not registered.
    position: as attention.
    dataset: as attention.
    architecture: as attention.
    model__block: as attention.
    model__norm_layer: as attention.
    train__optimizer: the function.
    train__schedule: the function.
  """

  attention: type[Attention]
  position: type[Position]
  dataset: type[Dataset]
  architecture: type[Architecture]
  model__block: type[Block]
  model__norm_layer: type[Norm]
  train__optimizer: Callable[..., Any]
  train__schedule: Callable[..., Any]


def classes_among(settings: Mapping[str, Any]) -> dict[str, Callable[..., Any]]:
  """Return the classes and functions among values of settings.

  Raises:
    UserError: a setting whose value is one does not name a component.
  """
  found = {key: value for key, value in settings.items() if _is_component(value)}
  for key, value in found.items():
    if key not in by_setting():
      kind = "class" if isinstance(value, type) else "function"
      raise UserError(f"{key} takes no {kind}, and {value.__name__} is one.")
  return found


def _is_component(value: Any) -> bool:
  return isinstance(value, type) or inspect.isfunction(value)


def missing(config: Config, classes: Classes) -> Classes:
  """Return the classes that a configuration names and nothing registers."""
  names, registries = _names(config), by_setting()
  return {key: x for key, x in classes.items() if names[key] not in registries[key]}


def held_as(config: Config, classes: Classes) -> contextlib.AbstractContextManager[Any]:
  """Hold the classes of a run under the names that its configuration has."""
  return held(classes, _names(config))


def _names(config: Config) -> dict[str, str]:
  """Return the names of components by setting, without their options."""
  names = dict(flatten(config))
  return {key: names[key].partition("(")[0] for key in by_setting()}


@contextlib.contextmanager
def held(classes: Classes, names: Mapping[str, str] | None = None) -> Iterator[Any]:
  """Hold classes in their registries for a context, which gets their names by setting.

  Args:
    classes: the classes and functions.
    names: their names by setting; None for their own.

  Raises:
    UserError: a class or function breaks the contract of its components.
  """
  registries = by_setting()
  with contextlib.ExitStack() as stack:
    yield {
      key: stack.enter_context(
        registries[key].registered(component, names[key] if names else "")
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
