"""The packages of the extra [compare], which the reports need."""

import importlib.util

from attention_lab.errors import UserError

PACKAGES = ("scipy", "jinja2", "matplotlib")


def refuse_missing(mode: str) -> None:
  """Raise `UserError` naming the packages that a mode misses; import none."""
  missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
  if missing:
    raise UserError(
      f"--mode={mode} needs {', '.join(missing)}: pip install -e '.[compare]'"
    )
