"""Refuses what cannot fit into the memory there is, before anything is allocated."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from attention_lab.errors import UserError

if TYPE_CHECKING:
  import jax

GB = 1e9
SHRINK = (
  "Lower --batch_size, the dataset's sequence_length or --config.model.d_model, or raise "
  "--config.train.micro_batches."
)


def host_memory() -> int:
  """Bytes of memory that this machine has."""
  return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def refuse_large_batches(tokens: float, steps_per_call: int) -> None:
  """Raises UserError if the batches of one call are larger than this machine's memory.

  Args:
    tokens: of a batch.
    steps_per_call: batches of a call.
  """
  size, room = 12 * tokens * steps_per_call, host_memory()  # 3 arrays of 4 bytes.
  if size > room:
    raise UserError(
      f"The batches of one call take {size / GB:,.0f} GB, and this machine has "
      f"{room / GB:,.0f}. Lower --batch_size, the dataset's sequence_length or "
      f"--config.train.steps_per_call."
    )


def refuse_large_state(state: Any, seeds: int, devices: "Sequence[jax.Device]") -> None:
  """Raises UserError if parameters and optimizer state alone are more than there is.

  Args:
    state: shapes and dtypes of one seed's.
    seeds: how many there are.
    devices: each holds all of it; those that are the CPU share the machine's memory.
  """
  import jax  # The entrypoint, which needs `out_of_memory`, answers flags before.

  size = seeds * sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))
  room = (devices[0].memory_stats() or {}).get("bytes_limit")
  if room is None:
    size, room = size * len(devices), host_memory()
  if size > room:
    raise UserError(
      f"Parameters and optimizer state take {size / GB:,.0f} GB, and there are "
      f"{room / GB:,.0f}. Lower --config.model.d_model or --config.model.num_layers."
    )


def out_of_memory(error: BaseException) -> UserError | None:
  """What to do about an allocation that failed; None of another error."""
  told = any(words in str(error) for words in ("RESOURCE_EXHAUSTED", "Out of memory"))
  if not isinstance(error, MemoryError) and not told:
    return None
  return UserError(
    f"There is not enough memory: {' '.join(str(error).split())} {SHRINK}"
  )
