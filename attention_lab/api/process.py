"""A call of the API in the user's process, which is left as it was."""

import contextlib
import os
import signal as signals
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import jax
from jax.experimental.compilation_cache import compilation_cache

from attention_lab.api.settings import in_keywords
from attention_lab.errors import UserError
from attention_lab.plugin import discovery
from attention_lab.system import compile_cache, versions


@contextlib.contextmanager
def api_call(section: str = "") -> Iterator[None]:
  """Load the components; name keywords, not flags, in the messages of errors.

  Args:
    section: section of settings whose keywords the function takes without its name.
  """
  try:
    versions.refuse_known_bad()
    discovery.load()
    yield
  except UserError as error:
    error.args = (in_keywords(str(error), section),)
    raise


def refuse_other_thread(function: str) -> None:
  """Raise `UserError` outside the main thread, which alone receives signals."""
  if threading.current_thread() is not threading.main_thread():
    raise UserError(f"{function} handles signals, so call it from the main thread.")


def interrupt(signal: int) -> NoReturn:
  """Pass on a signal that training has answered; raise `KeyboardInterrupt`."""
  signals.raise_signal(signal)
  raise KeyboardInterrupt


@contextlib.contextmanager
def folder_of(workdir: str | Path | None) -> Iterator[Path]:
  """Yield the user's folder, or a temporary one that is removed."""
  if workdir is not None:
    yield Path(workdir).expanduser()
    return
  with tempfile.TemporaryDirectory("", "attention_lab-") as folder:
    yield Path(folder)


@contextlib.contextmanager
def jax_settings_kept(folder: str) -> Iterator[None]:
  """Keep compiled programs as commands do, and restore JAX's configuration afterwards.

  Nothing is kept where a jaxlib that was imported before would print false warnings.

  Args:
    folder: the setting `compile_cache`.
  """
  before = dict(jax.config.values)
  if versions.quieting().items() <= os.environ.items():
    compile_cache.enable(folder)
  changed = before != jax.config.values
  if changed:  # JAX looks at these settings once.
    compilation_cache.reset_cache()
  try:
    yield
  finally:
    for key, value in before.items():
      if jax.config.values[key] != value:
        jax.config.update(key, value)
    if changed:
      compilation_cache.reset_cache()
