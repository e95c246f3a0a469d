"""Packages that are also functions of the API: `attention_lab.compare(...)`."""

import importlib
import inspect
import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
  """A package that calls the function `__function__` ("module.function") by name.

  What a package imports is code of every run that uses one of its modules, so the
  function's module is imported at the call.
  """

  def __call__(self, *args: Any, **kwargs: Any) -> Any:
    """Call the function; see its own documentation."""
    return self.__wrapped__(*args, **kwargs)

  @property
  def __wrapped__(self) -> Any:
    module, _, name = self.__function__.rpartition(".")
    return getattr(importlib.import_module(module), name)

  @property
  def __doc__(self) -> str:  # type: ignore[override]
    """The function's documentation, which help() shows in place of the package's."""
    summary, _, rest = str(inspect.getdoc(self.__wrapped__)).partition("\n\n")
    parameters = "".join(f"  {x},\n" for x in self.__signature__.parameters.values())
    return f"{summary}\n\n{self.__name__}(\n{parameters})\n\n{rest}"

  @property
  def __signature__(self) -> inspect.Signature:
    return inspect.signature(self.__wrapped__)


def make_callable(package: str, function: str) -> None:
  """Make a package call a function.

  Args:
    package: its `__name__`.
    function: dotted name of the function.
  """
  module = sys.modules[package]
  module.__class__ = _Callable
  module.__dict__["__function__"] = function
