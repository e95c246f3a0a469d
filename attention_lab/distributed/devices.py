"""The device axis: devices, and the placement of arrays on them."""

from collections.abc import Sequence
from typing import Any

import chex
import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from attention_lab.errors import UserError

AXIS = "device"  # Name of the pmapped axis, in the update and in every sharding.


def local_devices() -> list[jax.Device]:
  """Return the devices of this process."""
  return jax.local_devices()


def all_devices() -> list[jax.Device]:
  """Return the devices of all processes, grouped by process."""
  return sorted(jax.devices(), key=lambda device: (device.process_index, device.id))


def own_devices(devices: Sequence[jax.Device]) -> list[jax.Device]:
  """Return those of the devices that belong to this process."""
  return [d for d in devices if d.process_index == jax.process_index()]


def process_shard(devices: Sequence[jax.Device]) -> tuple[int, int]:
  """Return (index, count): the shard of each batch that this process feeds."""
  processes = sorted({device.process_index for device in devices})
  return processes.index(jax.process_index()), len(processes)


def sharding(devices: Sequence[jax.Device]) -> NamedSharding:
  """Return the sharding of the leading axis over devices, as pmap places its results."""
  return NamedSharding(Mesh(np.array(devices), (AXIS,)), PartitionSpec(AXIS))


def peak_memory() -> int:
  """Return the peak memory use of the first device, in bytes.

  A CPU does not count it; then it is the size of arguments, results and temporaries of
  the largest compiled program.
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
      - size.alias_size_in_bytes  # Donated arguments are results too.
      for size in sizes
    ),
    default=0,
  )


def replicate(tree: Any, devices: Sequence[jax.Device]) -> Any:
  """Copy every leaf to each device of this process: leaf → [n, ...]."""
  devices = own_devices(devices)
  placed, n = sharding(devices), len(devices)

  def copy(leaf: Any) -> jax.Array:
    host = np.asarray(leaf)
    return jax.make_array_from_callback((n, *host.shape), placed, lambda _: host[None])

  return jax.tree.map(copy, tree)


def unreplicate(tree: Any) -> Any:
  """Return the first device's copy, on the host.

  `leaf[0]` would gather from all devices.
  """
  return jax.tree.map(lambda leaf: np.array(leaf.addressable_shards[0].data)[0], tree)


def shard(tree: Any, devices: Sequence[jax.Device], axis: int = 0) -> Any:
  """Split `axis` of every host array over the devices of this process: → [n, ...]."""
  devices = own_devices(devices)
  placed, n = sharding(devices), len(devices)

  def split(leaf: np.ndarray) -> jax.Array:
    parts = np.stack(np.split(leaf, n, axis=axis))
    return jax.device_put(parts, placed)

  return jax.tree.map(split, tree)


def assert_placed(state: Any, batch: Any, devices: Sequence[jax.Device]) -> None:
  """Assert that state and batch lie on this process's devices, in their order.

  Without this check pmap runs arrays with a shorter leading axis on fewer devices, and
  accepts a reversed order of the devices, both silently.
  """
  devices = own_devices(devices)
  chex.assert_tree_shape_prefix((state, batch), (len(devices),))
  if len(devices) > 1:  # chex regards no array on one device as sharded.
    chex.assert_tree_is_sharded((state, batch), devices=devices)


def refuse_indivisible(batch_size: int, micro_batches: int, num_devices: int) -> None:
  """Raise `UserError` unless the batch divides over devices and micro-batches."""
  unit = micro_batches * num_devices
  if batch_size % unit == 0:
    return
  below, above = batch_size // unit * unit, -(-batch_size // unit) * unit
  choice = " or ".join(f"--batch_size={size}" for size in (below, above) if size)
  fewer = [n for n in range(1, num_devices) if batch_size % (micro_batches * n) == 0]
  devices = f", or {fewer[-1]} of the devices for a run that has begun" if fewer else ""
  divisor = f"{num_devices} device{'s' * (num_devices > 1)}"
  if micro_batches > 1:
    divisor += f" x {micro_batches} micro-batches"
  raise UserError(
    f"--batch_size={batch_size} does not divide over {divisor}. Take {choice}{devices}."
  )
