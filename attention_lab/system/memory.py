"""Memory of the machine: refuses what does not fit into it, and returns what is free."""

import contextlib
import ctypes
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
  """Return the memory of this machine in bytes."""
  return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def refuse_large_batches(tokens: float, steps_per_call: int) -> None:
  """Raise `UserError` if the batches of one call exceed this machine's memory.

  Args:
    tokens: tokens per batch.
    steps_per_call: batches per call.
  """
  size, room = 12 * tokens * steps_per_call, host_memory()  # 3 arrays of 4 bytes.
  if size > room:
    raise UserError(
      f"The batches of one call take {size / GB:,.0f} GB, and this machine has "
      f"{room / GB:,.0f}. Lower --batch_size, the dataset's sequence_length or "
      f"--config.train.steps_per_call."
    )


def refuse_large_state(state: Any, seeds: int, devices: "Sequence[jax.Device]") -> None:
  """Raise `UserError` if parameters and optimizer state alone exceed the memory.

  Args:
    state: shapes and dtypes of the state of one seed.
    seeds: number of seeds.
    devices: devices that each hold all of it; CPU devices share the machine's memory.
  """
  size = seeds * bytes_of(state)
  room, shared = _room(devices)
  size *= shared
  if size > room:
    raise UserError(
      f"Parameters and optimizer state take {size / GB:,.0f} GB, and there are "
      f"{room / GB:,.0f}. Lower --config.model.d_model or --config.model.num_layers."
    )


def refuse_large_step(size: int, devices: "Sequence[jax.Device]") -> None:
  """Raise `UserError` if a step exceeds the memory.

  Args:
    size: bytes that it takes on each device.
    devices: the devices.
  """
  room, shared = _room(devices)
  if size * shared > room:
    raise UserError(
      f"A step takes {size * shared / GB:,.1f} GB of memory by XLA's estimate, and there "
      f"are {room / GB:,.1f}. {SHRINK}"
    )


def bytes_of(tree: Any) -> int:
  """Return the bytes of arrays, which are given as arrays or as shapes and dtypes."""
  import jax  # Not at the top: the entrypoint reads flags before jax is imported.

  return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _room(devices: "Sequence[jax.Device]") -> tuple[int, int]:
  """Return the bytes of memory, and the number of devices that share them."""
  own = (devices[0].memory_stats() or {}).get("bytes_limit")
  return (host_memory(), len(devices)) if own is None else (own, 1)


def return_free_memory() -> None:
  """Return memory that is free to the system; the C library may keep it otherwise."""
  with contextlib.suppress(OSError, AttributeError):  # Other libraries than glibc.
    ctypes.CDLL(None).malloc_trim(0)


def out_of_memory(error: BaseException) -> UserError | None:
  """Return the user's error for a failed allocation; None for other errors."""
  matches = any(
    words in str(error) for words in ("RESOURCE_EXHAUSTED", "Out of memory")
  )
  if not isinstance(error, MemoryError) and not matches:
    return None
  return UserError(
    f"There is not enough memory: {' '.join(str(error).split())} {SHRINK}"
  )
