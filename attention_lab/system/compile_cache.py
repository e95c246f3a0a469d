"""JAX's persistent compilation cache, with which a second start compiles nothing."""

import os
import sys
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.system.files import make_folder, user_cache

OFF = "off"


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
