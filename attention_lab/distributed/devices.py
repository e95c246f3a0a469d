"""The device axis: which devices there are, and how arrays come to lie on them."""

from collections.abc import Sequence
from typing import Any

import chex
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from attention_lab.errors import UserError

AXIS = "device"  # The name of the pmapped axis, in the update and in every sharding.


def local_devices() -> list[jax.Device]:
  """The devices of this process."""
  return jax.local_devices()


def all_devices() -> list[jax.Device]:
  """The devices of all processes, those of each side by side."""
  return sorted(jax.devices(), key=lambda device: (device.process_index, device.id))


def here(devices: Sequence[jax.Device]) -> list[jax.Device]:
  """Those of the devices that are this process's: arrays are placed on them alone."""
  return [d for d in devices if d.process_index == jax.process_index()]


def part(devices: Sequence[jax.Device]) -> tuple[int, int]:
  """(index, count): which part of a batch this process feeds, of how many."""
  processes = sorted({device.process_index for device in devices})
  return processes.index(jax.process_index()), len(processes)


def sharding(devices: Sequence[jax.Device]) -> NamedSharding:
  """One slice of the leading axis on each device, as pmap places its results."""
  return NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(AXIS))


def peak_memory() -> int:
  """Bytes of the first device that this process has held at most.

  Where the device does not count them, as a CPU: what the greatest of the programs that
  were compiled takes for arguments, results and all between.
  """
  device = jax.local_devices()[0]
  if counted := (device.memory_stats() or {}).get("peak_bytes_in_use"):
    return int(counted)
  sizes = [one.get_compiled_memory_stats() for one in device.client.live_executables()]
  return max(
    (
      size.argument_size_in_bytes
      + size.output_size_in_bytes
      + size.temp_size_in_bytes
      - size.alias_size_in_bytes  # Donated arguments are results, too.
      for size in sizes
    ),
    default=0,
  )


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
  """A copy of every leaf on each device of this process: leaf → [n, ...]."""
  devices = here(devices)
  placed, n = sharding(devices), len(devices)

  def copy(leaf: Any) -> jax.Array:
    host = np.asarray(leaf)
    return jax.make_array_from_callback((n, *host.shape), placed, lambda _: host[None])

  return jax.tree.map(copy, tree)


def unreplicate(tree: Any) -> Any:
  """The first device's copy, on the host; `leaf[0]` would gather from all devices."""
  return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data)[0], tree)


def shard(tree: Any, devices: Sequence[jax.Device], axis: int = 0) -> Any:
  """Splits `axis` (this process's part of the batch) of every host array over its
  devices: → [n, ...]."""
  devices = here(devices)
  placed, n = sharding(devices), len(devices)

  def split(leaf: np.ndarray) -> jax.Array:
    parts = np.stack(np.split(leaf, n, axis=axis))
    return jax.device_put(parts, placed)

  return jax.tree.map(split, tree)


def assert_placed(state: Any, batch: Any, devices: Sequence[jax.Device]) -> None:
  """Asserts that state and batch lie on exactly these devices, in this order: of those
  of several processes, on this one's.

  pmap itself runs numpy arrays that lead with too small a number on fewer devices, and
  takes a reversed device order, both without a word.
  """
  devices = here(devices)
  chex.assert_tree_shape_prefix((state, batch), (len(devices),))
  if len(devices) > 1:  # On one device no array counts as sharded.
    chex.assert_tree_is_sharded((state, batch), devices=devices)


def refuse_indivisible(batch_size: int, micro_batches: int, num_devices: int) -> None:
  """Raises UserError unless every device gets equally many whole micro-batches."""
  unit = micro_batches * num_devices
  if batch_size % unit == 0:
    return
  below, above = batch_size // unit * unit, -(-batch_size // unit) * unit
  choice = " or ".join(str(size) for size in (below, above) if size)
  parts = f"{num_devices} devices"
  if micro_batches > 1:
    parts += f" x {micro_batches} micro-batches"
  raise UserError(
    f"--batch_size={batch_size} does not divide over {parts}. Nearest: {choice}."
  )
