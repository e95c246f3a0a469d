"""Short texts that processes leave for each other, in JAX's coordination service.

JAX's public API has no messages outside collectives, and a broken collective is what has
to be reported. So this module, and no other, uses the client that `jax.distributed` keeps;
jax 0.9.0.1 and 0.12.0.1 have the same one.
"""

import contextlib
from typing import Any

DAY = 86_400.0  # Seconds.


def _client() -> Any:
  from jax._src import distributed

  return distributed.global_state.client


def put(key: str, text: str) -> bool:
  """Store a text; return False if the key has one, or if process 0 cannot be reached."""
  with contextlib.suppress(Exception):
    _client().key_value_set(key, text)
    return True
  return False


def get(key: str) -> str:
  """Wait for the text of a key.

  Raises:
    RuntimeError: process 0, which holds the texts, is lost.
  """
  while True:
    try:
      text: str = _client().blocking_key_value_get(key, int(1000 * DAY))
    except RuntimeError as error:
      if "DEADLINE_EXCEEDED" not in str(error):
        raise
    else:
      return text


def names(folder: str) -> set[str]:
  """Return the last parts of the keys in a folder."""
  found = _client().key_value_dir_get(folder)
  return {key.rpartition("/")[2] for key, _ in found}


def meet(name: str, seconds: float) -> None:
  """Wait until all processes have called this."""
  _client().wait_at_barrier(name, int(1000 * seconds))
