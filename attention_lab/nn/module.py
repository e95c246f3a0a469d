"""A Haiku module whose methods share one parameter scope."""

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

import haiku as hk

from attention_lab.errors import UserError, line_of


class Module(hk.Module):
  """Base of modules that find the same parameters from every method.

  Haiku names a submodule after the method that creates it. Here every method names its
  submodules as `__call__` does, so that a helper method, or decoding in `extend`, uses the
  parameters of the full pass.
  """

  # Names of its parameters of two or more axes that weight decay leaves alone, as it does
  # all biases and scales: those that have another meaning than a matrix of weights.
  undecayed: ClassVar[tuple[str, ...]] = ()

  def __init_subclass__(cls, **kwargs: Any):
    super().__init_subclass__(**kwargs)
    for name, method in vars(cls).items():
      if inspect.isfunction(method) and not name.startswith("__"):
        hk.name_like("__call__")(method)
    if "__post_init__" in vars(cls):
      cls.__post_init__ = _with_super(cls.__post_init__, cls.__name__)  # type: ignore[method-assign]


def _with_super(method: Callable[..., None], name: str) -> Callable[..., None]:
  """Return a `__post_init__` that raises `UserError` if it does not call the base's."""

  @functools.wraps(method)
  def post_init(self: hk.Module, *args: Any) -> None:
    method(self, *args)
    if not hasattr(self, "module_name"):  # Haiku sets it.
      raise UserError(
        f"{name}.__post_init__ ({line_of(method)}) does not call the method that it "
        f"overrides: begin it with super().__post_init__()."
      )

  return post_init
