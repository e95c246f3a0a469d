"""Each pass feeds each example once, over all processes and after a resume."""

import dataclasses

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import Batch, Dataset
from attention_lab.dataset.base.vocabulary import WordVocabulary
from attention_lab.training.prefetch import stack

SIZE, BATCH = 37, 8  # SIZE is no multiple of BATCH: some batches span two passes.
STEPS = 3 * SIZE  # 3 * BATCH whole passes.


@dataclasses.dataclass(kw_only=True)
class Numbered(Dataset):
  """Dataset whose examples are (index of the example, number of the pass)."""

  vocabulary = WordVocabulary.numbers(SIZE)
  fingerprint = ""

  def size(self, split):
    return SIZE

  def examples(self, split, epoch, indices):
    tokens = np.stack([indices, np.full_like(indices, epoch)], axis=1).astype(np.int32)
    return Batch(tokens, tokens, np.ones(tokens.shape, np.float32))


def examples_of(calls, count):
  """Return the examples that `count` processes train on: [steps · batch, 2].

  `calls` are pairs of a first step and a number of steps.
  """
  rows = []
  for step, steps in calls:
    shards = [
      stack(Numbered(data_dir=""), step, steps, steps + 2, BATCH, (i, count)).inputs
      for i in range(count)
    ]
    rows.append(np.concatenate(shards, axis=1)[:steps])
  return np.concatenate(rows).reshape(-1, 2)


@pytest.fixture(scope="module")
def alone():
  """Return the examples that one process trains on, called step by step."""
  return examples_of([(step, 1) for step in range(STEPS)], 1)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_each_pass_feeds_each_example_once_for_any_number_of_processes(alone, count):
  rows = examples_of([(step, 3) for step in range(0, STEPS, 3)], count)
  np.testing.assert_array_equal(rows, alone)
  passes = rows.reshape(-1, SIZE, 2)
  for epoch, examples in enumerate(passes):
    assert sorted(map(tuple, examples)) == [(i, epoch) for i in range(SIZE)]
  assert (passes[0, :, 0] != passes[1, :, 0]).any()


@pytest.mark.parametrize("step", [1, 4, 5, 14, STEPS - 1])
@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (2, 8)])
def test_resumed_run_continues_with_the_next_example(alone, step, before, after):
  rows = np.concatenate(
    [examples_of([(0, step)], before), examples_of([(step, STEPS - step)], after)]
  )
  np.testing.assert_array_equal(rows, alone)
