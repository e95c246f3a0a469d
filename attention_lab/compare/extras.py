"""The packages of the extra [compare], which the reports need."""

import importlib.util

from attention_lab.errors import not_installed

PACKAGES = ("scipy", "jinja2", "matplotlib")


def refuse_missing(user: str) -> None:
  """Raise `UserError` naming the packages that a user misses; import none.

  Args:
    user: what needs them, such as "--mode=compare".
  """
  missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
  if missing:
    raise not_installed(user, "compare", *missing)
