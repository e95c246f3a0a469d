"""No example twice or missing over processes and passes, and the same after a resume."""

import dataclasses

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import Batch, Dataset
from attention_lab.dataset.base.vocabulary import WordVocabulary
from attention_lab.training.prefetch import stack

SIZE, BATCH = 37, 8  # Batches that span two passes.
STEPS = 3 * SIZE  # Of whole passes: BATCH of them.


@dataclasses.dataclass(kw_only=True)
class Numbered(Dataset):
  """Examples that are their own number and pass."""

  vocabulary = WordVocabulary.numbers(SIZE)
  fingerprint = ""

  def size(self, split):
    return SIZE

  def examples(self, split, epoch, indices):
    told = np.stack([indices, np.full_like(indices, epoch)], axis=1).astype(np.int32)
    return Batch(told, told, np.ones(told.shape, np.float32))


def seen(calls, count):
  """Return what `count` processes train on: [steps · batch, 2].

  `calls` are pairs of a first step and a number of steps.
  """
  rows = []
  for step, steps in calls:
    parts = [
      stack(Numbered(data_dir=""), step, steps, steps + 2, BATCH, (i, count)).inputs
      for i in range(count)
    ]
    rows.append(np.concatenate(parts, axis=1)[:steps])
  return np.concatenate(rows).reshape(-1, 2)


@pytest.fixture(scope="module")
def alone():
  """Return what one process trains on, step by step."""
  return seen([(step, 1) for step in range(STEPS)], 1)


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_every_example_comes_once_a_pass_whatever_the_processes(alone, count):
  rows = seen([(step, 3) for step in range(0, STEPS, 3)], count)
  np.testing.assert_array_equal(rows, alone)
  passes = rows.reshape(-1, SIZE, 2)
  for epoch, examples in enumerate(passes):
    assert sorted(map(tuple, examples)) == [(i, epoch) for i in range(SIZE)]
  assert (passes[0, :, 0] != passes[1, :, 0]).any()


@pytest.mark.parametrize("step", [1, 4, 5, 14, STEPS - 1])
@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (2, 8)])
def test_a_resume_goes_on_with_the_next_example(alone, step, before, after):
  rows = np.concatenate(
    [seen([(0, step)], before), seen([(step, STEPS - step)], after)]
  )
  np.testing.assert_array_equal(rows, alone)
