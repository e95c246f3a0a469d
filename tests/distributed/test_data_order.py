"""Each pass feeds each example once, over all processes and after a resume."""

import dataclasses
import itertools

import numpy as np
import pytest

from attention_lab import config as configs
from attention_lab.dataset.base.bucketed import Bucketed
from attention_lab.dataset.base.dataset import Batch, Dataset, with_order
from attention_lab.dataset.base.order import Order
from attention_lab.dataset.base.text import Text
from attention_lab.experiment import assemble
from attention_lab.tokenizer.base.vocabulary import WordVocabulary
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
      stack([Numbered(data_dir="")], step, steps, steps + 2, BATCH, (i, count)).inputs
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


def passes_of(run_seed, seed=0):
  """Return the examples of three passes of a run: [3, SIZE] numbers of examples."""
  dataset = Numbered(data_dir="", seed=seed, order=Order(run_seed))
  rows = dataset.batches("train", 0, STEPS, BATCH).inputs.reshape(-1, SIZE, 2)
  assert (rows[:3, :, 1] == np.arange(3)[:, None]).all()
  return rows[:3, :, 0]


def test_each_run_has_an_order_of_its_own():
  orders = [passes_of(run_seed) for run_seed in (0, 1, 2)]
  assert all((np.sort(order) == np.arange(SIZE)).all() for order in orders)
  for one, other in itertools.combinations(orders, 2):
    assert not (one == other).all(axis=1).any()
  np.testing.assert_array_equal(orders[1], passes_of(1))
  assert (passes_of(1, seed=3) != orders[1]).any()


def test_the_shared_order_is_that_of_run_0():
  np.testing.assert_array_equal(passes_of(None), passes_of(0))


def test_a_dataset_takes_the_order_of_another_run():
  first = Numbered(data_dir="", order=Order(1))
  before = first.batch("train", 0, BATCH)
  second = with_order(first, Order(2))
  expected = Numbered(data_dir="", order=Order(2)).batch("train", 0, BATCH)
  np.testing.assert_array_equal(second.batch("train", 0, BATCH).inputs, expected.inputs)
  np.testing.assert_array_equal(first.batch("train", 0, BATCH).inputs, before.inputs)


def test_windows_of_a_text_follow_the_run():
  text = "".join(chr(97 + i % 26) for i in range(1000))
  one = type("Letters", (Text,), {"load": lambda self: text})
  firsts = [
    one(data_dir="", sequence_length=30, order=Order(seed))
    .batch("train", 0, 4)
    .inputs[:, 0]
    for seed in (None, 0, 1, 2)
  ]
  np.testing.assert_array_equal(firsts[0], firsts[1])
  assert len({tuple(first % 30) for first in firsts[1:]}) == 3


@dataclasses.dataclass(kw_only=True)
class OfTwoLengths(Bucketed):
  """Examples of 4 or 8 tokens, each of which is the number of the example."""

  vocabulary = WordVocabulary.numbers(64)
  fingerprint = ""

  def lengths(self, split):
    return np.where(np.arange(64) % 2, 4, 8)

  def tokens(self, split):
    return int(self.lengths(split).sum())

  def padded(self, split, indices, length):
    tokens = np.repeat(indices[:, None], length, axis=1).astype(np.int32)
    return Batch(tokens, tokens, np.ones(tokens.shape, np.float32))


def test_runs_have_batches_of_equal_shape_with_other_examples():
  one, other, shared = (
    [
      OfTwoLengths(data_dir="", sequence_length=8, order=Order(seed))
      .batch("train", step, 4)
      .inputs
      for step in range(12)
    ]
    for seed in (1, 2, None)
  )
  assert [x.shape for x in one] == [x.shape for x in other] == [x.shape for x in shared]
  assert len({x.shape for x in one}) == 2
  assert all((x[:, 0] != y[:, 0]).any() for x, y in zip(one, other, strict=True))


def test_a_configuration_says_whether_runs_share_the_order():
  """Runs that were stored before the setting existed share it."""
  config = configs.get_config()
  config.seed = 5
  assert assemble(config).dataset.order.run_seed == 5
  config.train.data_order = "shared"
  assert assemble(config).dataset.order.run_seed is None
  assert configs.from_stored({"seed": 5}).train.data_order == "shared"
