"""A trace of some steps, for TensorBoard and Perfetto."""

from collections.abc import Callable
from pathlib import Path

import jax

from attention_lab.system.regular import refuse_links_below


def trace(advance: Callable[[], None], folder: Path, first: bool) -> str:
  """Trace a call after the first, and return a line about it.

  Args:
    advance: takes some steps.
    folder: folder to write to.
    first: whether this process writes.
  """
  advance()
  if not first:
    advance()
    return ""
  refuse_links_below(folder)
  with jax.profiler.trace(str(folder), create_perfetto_trace=True):
    advance()
  return f"Profile in {folder}"
