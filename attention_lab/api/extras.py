"""Modules of an extra of the installation, imported when one of their names is used."""

import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from attention_lab.errors import not_installed


def load(package: str, homes: Mapping[str, str], extra: str, name: str) -> Any:
  """Return a public name of a package that needs an extra.

  Args:
    package: `__name__` of the package.
    homes: module that defines each name.
    extra: the extra, named as the library that it installs.
    name: the name.

  Raises:
    AttributeError: there is no such name.
    UserError: the library is not installed.
  """
  if name not in homes:
    raise AttributeError(f"module 'attention_lab.{extra}' has no attribute {name!r}")
  if importlib.util.find_spec(extra) is None:
    raise not_installed(f"attention_lab.{extra}.{name}", extra, extra)
  return getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
