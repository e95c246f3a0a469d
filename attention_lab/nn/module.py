"""A Haiku module whose methods share one parameter scope."""

import inspect
from typing import Any

import haiku as hk


class Module(hk.Module):
  """Base of modules that find the same parameters from every method.

  Haiku names a submodule after the method that creates it. Here every method names its
  submodules as `__call__` does, so that a helper method, or decoding in `extend`, uses the
  parameters of the full pass.
  """

  def __init_subclass__(cls, **kwargs: Any):
    super().__init_subclass__(**kwargs)
    for name, method in vars(cls).items():
      if inspect.isfunction(method) and not name.startswith("__"):
        hk.name_like("__call__")(method)
