"""JAX's persistent compilation cache: the second start of a run compiles nothing."""

import os
import sys
from pathlib import Path

from attention_lab.errors import UserError
from attention_lab.system.files import make_folder, user_cache

OFF = "off"


def enable(folder: str) -> None:
  """Keeps compiled programs on disk; where JAX_COMPILATION_CACHE_DIR is set, it rules.

  Args:
    folder: where; "" for the user's cache folder, "off" for nowhere.
  """
  if folder == OFF or "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  path = Path(folder).expanduser() if folder else user_cache() / "compiled"
  try:
    make_folder(path, "config.compile_cache")
  except UserError as error:
    print(f"warning: nothing that is compiled is kept. {error}", file=sys.stderr)
    return
  import jax  # Slow to import: flags were read before.

  jax.config.update("jax_compilation_cache_dir", str(path))
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
