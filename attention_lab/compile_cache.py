"""JAX's persistent compilation cache: the second start of a run compiles nothing."""

import os
import sys

from attention_lab.files import user_cache

OFF = "off"


def enable(folder: str) -> None:
  """Keeps compiled programs on disk; where JAX_COMPILATION_CACHE_DIR is set, it rules.

  Args:
    folder: where; "" for the user's cache folder, "off" for nowhere.
  """
  if folder == OFF or "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  path = folder or str(user_cache() / "compiled")
  try:
    os.makedirs(path, exist_ok=True)
    if not os.access(path, os.W_OK):
      raise PermissionError(13, "Permission denied")
  except OSError as error:
    print(
      f"warning: nothing that is compiled is kept: {path}: {error.strerror}. Name "
      f"another folder with --config.compile_cache=..., or off.",
      file=sys.stderr,
    )
    return
  import jax  # Slow to import: flags were read before.

  jax.config.update("jax_compilation_cache_dir", path)
  jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
