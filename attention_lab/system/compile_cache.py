"""JAX's persistent compilation cache, with which a second start compiles nothing."""

import glob
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

from attention_lab.errors import UserError
from attention_lab.system.files import make_folder, user_cache

OFF = "off"
_UNREADABLE = r"Error reading persistent compilation cache entry for '([^']+)'"


def enable(folder: str) -> None:
  """Enable the cache, unless JAX_COMPILATION_CACHE_DIR has already done so.

  Args:
    folder: folder of compiled programs; "" for the user's cache folder, "off" for none.
  """
  if folder == OFF or "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  path = Path(folder) if folder else user_cache() / "compiled"
  try:
    make_folder(path, "config.compile_cache")
  except UserError as error:
    print(f"warning: compiled programs are not kept. {error}", file=sys.stderr)
    return
  import jax  # Slow to import, so only after the flags are read.

  jax.config.update("jax_compilation_cache_dir", str(path))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
  _remove_damaged(path)


def _remove_damaged(folder: Path) -> None:
  """Remove entries that cannot be read, instead of a warning at every start."""
  show = warnings.showwarning

  def handled(message: Warning | str, *arguments: Any, **options: Any) -> None:
    found = re.match(_UNREADABLE, str(message))
    if found is None:
      show(message, *arguments, **options)
      return
    for path in folder.glob(f"{glob.escape(found[1])}-*"):
      path.unlink(missing_ok=True)

  warnings.showwarning = handled
