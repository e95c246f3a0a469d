"""Arrays are placed on devices and returned to the host unchanged."""

import jax
import numpy as np
import pytest

from attention_lab.distributed.devices import (
  AXIS,
  refuse_indivisible,
  replicate,
  shard,
  unreplicate,
)
from attention_lab.errors import UserError


def test_unreplicate_inverts_replicate():
  tree = {"a": np.arange(6, dtype=np.int32).reshape(2, 3), "b": np.float32(2.5)}
  devices = jax.local_devices()[:4]
  placed = replicate(tree, devices)
  assert placed["a"].shape == (4, 2, 3)
  assert [s.device for s in placed["a"].addressable_shards] == devices
  assert placed["a"].sharding.spec == jax.sharding.PartitionSpec(AXIS)
  host = unreplicate(placed)
  jax.tree.map(np.testing.assert_array_equal, host, tree)
  assert host["a"].dtype == np.int32


@pytest.mark.parametrize("axis", [0, 1])
def test_shard_splits_the_axis_in_order(axis):
  x = np.arange(24).reshape(4, 6) if axis == 0 else np.arange(24).reshape(6, 4)
  placed = shard(x, jax.local_devices()[:2], axis=axis)
  np.testing.assert_array_equal(np.concatenate(list(placed), axis=axis), x)


@pytest.mark.parametrize(
  ("batch_size", "micro", "devices", "nearest"),
  [
    (7, 1, 8, "Take --batch_size=8, or 7 of the devices"),
    (20, 1, 8, "Take --batch_size=16 or --batch_size=24, or 5 of the devices"),
    (9, 2, 4, "--batch_size=8 or --batch_size=16."),
  ],
)
def test_indivisible_batch_is_rejected_with_the_nearest_sizes(
  batch_size, micro, devices, nearest
):
  with pytest.raises(UserError, match=nearest):
    refuse_indivisible(batch_size, micro, devices)


def test_divisible_batch_is_accepted():
  refuse_indivisible(16, 2, 8)
