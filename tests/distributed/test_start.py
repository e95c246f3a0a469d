"""Places are validated, differences rejected, and shared values equal bit for bit."""

import hashlib
import json
import re
from pathlib import Path

import jax
import numpy as np
import pytest

from attention_lab.distributed.group import Group
from attention_lab.distributed.start import Place, place, refuse_differences
from attention_lab.distributed.tree import share_tree
from attention_lab.errors import UserError
from attention_lab.run.checkpoint import Restored
from attention_lab.run.shared_folder import kept_files, share_path, share_restored

SLURM = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "3"}
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}


@pytest.mark.parametrize(
  ("flags", "environment", "expected"),
  [
    ((None, None, None), {}, None),
    (("host:1234", "2", "1"), {}, Place(1, 2, "host:1234")),
    (("[::1]:1234", "2", "0"), SLURM, Place(0, 2, "[::1]:1234")),
    (("host:1234", "1", "0"), {}, None),
    ((None, None, None), SLURM, Place(3, 4)),
    ((None, None, None), OPEN_MPI, Place(0, 2)),
    ((None, None, None), {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}, None),
    ((None, None, None), {"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}, None),  # sbatch.
  ],
)
def test_place_is_read_from_flags_or_launcher(flags, environment, expected):
  assert place(*flags, environment) == expected


@pytest.mark.parametrize(
  ("flags", "line"),
  [
    (("host:1", None, None), "go together"),
    ((None, "2", None), "go together"),
    ((None, "2", "0"), "go together"),
    (("host", "2", "0"), "--coordinator=host: take process 0's host and a free port"),
    (("host:x", "2", "0"), "--coordinator=host:x: take"),
    (("host:99999", "2", "0"), "--coordinator=host:99999: take"),
    ((":80", "2", "0"), "--coordinator=:80: take"),
    (("host:1", "two", "0"), "--num_processes=two: expected a whole number"),
    (("host:1", "0", "0"), "--num_processes=0: take 1 or more"),
    (("host:1", "2", "-1"), "--process_id=-1: expected a whole number"),
    (("host:1", "2", "2"), "--process_id=2: 2 processes are numbered from 0 to 1"),
  ],
)
def test_invalid_place_is_rejected(flags, line):
  with pytest.raises(UserError, match=re.escape(line)):
    place(*flags, {})


class Pair(Group):
  """Second of two processes; the first one sends the given contents.

  Args:
    *contents: what the first process gathers and shares, in this order.
  """

  def __init__(self, *contents):
    super().__init__()
    self.index, self.count = 1, 2
    self._contents = list(contents)

  def gather(self, content):
    return [self._contents.pop(0), content]

  def share(self, make, source=0):
    return make() if source == self.index else self._contents.pop(0)


def encode(value):
  return json.dumps(value).encode()


def digest(value):
  return hashlib.sha256(encode(value)).digest()


def test_equal_settings_are_accepted():
  refuse_differences(Pair(digest({"a": [1, None]})), "settings", {"a": (1, None)})


@pytest.mark.parametrize(
  ("first", "own", "line"),
  [
    ({"--seed": 0}, {"--seed": 1}, "their settings: --seed: 0 in process 0, 1 in proc"),
    ({"a.py": "f" * 64}, {"a.py": "0" * 64}, "a.py: ffffffffffff in process 0, 000000"),
    ({}, {"a.py": "0" * 64}, "a.py: null in process 0, 000000000000 in process 1."),
    (dict.fromkeys("abcde", 0), dict.fromkeys("abcde", 1), "; and 2 more. Start all"),
  ],
)
def test_difference_is_reported_with_both_values(first, own, line):
  with pytest.raises(UserError, match=re.escape(line)):
    refuse_differences(Pair(digest(first), encode(first)), "settings", own)


def test_shared_tree_equals_that_of_the_first_process_bit_for_bit():
  tree = {"a": np.array([-0.0, np.nan, 1e-45], np.float32), "b": np.array(7, np.uint32)}
  content = b"".join(leaf.tobytes() for leaf in jax.tree.leaves(tree))
  like = jax.eval_shape(lambda: tree)
  found = share_tree(Pair(content), pytest.fail, like)
  assert jax.tree.map(lambda x: (x.tobytes(), x.dtype, x.shape), found) == {
    name: (leaf.tobytes(), leaf.dtype, leaf.shape) for name, leaf in tree.items()
  }


def test_restored_state_is_shared_with_its_metadata():
  state = {"step": np.array(40, np.int32)}
  about = encode([["runs/a/000000040.npz", {"window": [[1.5]]}]])
  (found,) = share_restored(
    Pair(about, state["step"].tobytes()), [], jax.eval_shape(lambda: state)
  )
  assert isinstance(found, Restored)
  assert (found.tree, found.meta) == (state, {"window": [[1.5]]})


def test_nothing_is_shared_without_a_checkpoint():
  assert share_restored(Pair(encode([])), [], None) == []


def test_folder_and_kept_files_come_from_the_first_process(tmp_path):
  path = share_path(Pair(b"runs/of_first"), lambda: Path("runs/of_second"))
  assert path == Path("runs/of_first")
  pair = Pair(encode(["vocabulary"]), b"\x00its content")
  assert kept_files(pair, [tmp_path]) == {"vocabulary": b"\x00its content"}
