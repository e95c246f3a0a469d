"""Comparison of several configurations: planning, running and collecting their runs.

The package is callable, because `attention_lab.compare` is also a function of the API.
"""

import importlib
import sys
from types import ModuleType
from typing import Any


class _Package(ModuleType):
  """This package, as the function `attention_lab.api.compare.compare`."""

  def __call__(self, *attentions: Any, **options: Any) -> Any:
    """Compare attentions in this process; see help(attention_lab.api.compare)."""
    # By name: what this package imports is code of every run that uses one of its modules.
    api = importlib.import_module("attention_lab.api.compare")
    return api.compare(*attentions, **options)


sys.modules[__name__].__class__ = _Package
