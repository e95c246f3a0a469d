"""Mixtures: the shares of the sources, their passes, and validation by source."""

import dataclasses

import jax
import numpy as np
import pytest

from attention_lab.dataset.base.dataset import (
  datasets,
  each_array,
  in_passes,
  num_batches,
  with_order,
)
from attention_lab.dataset.base.guess import constant_guess
from attention_lab.dataset.base.held_out import hold_out
from attention_lab.dataset.base.order import Order
from attention_lab.dataset.base.text import Text
from attention_lab.dataset.mixture import Mixture
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from attention_lab.nn.metrics import Measured, Sums
from attention_lab.training.evaluation import split_figures, validation_subset
from tests.parts import tiny_config

LENGTH, BATCH = 8, 16


@dataclasses.dataclass(kw_only=True)
class Ones(Text):
  """A text of two letters and random digits, in memory."""

  letter: str = "a"
  size_: int = 2_000
  ones: float = 0.5  # Share of the ones.

  def load(self):
    random = np.random.default_rng(ord(self.letter)).random(self.size_)
    digits = "".join("01"[int(one)] for one in random < self.ones)
    return f"ab{digits}"  # Both letters: the vocabulary is the same.


@pytest.fixture(autouse=True)
def notes():
  with datasets.registered(Ones, "ones"):
    yield


OF = ("ones", "ones(letter='b', size_=900)")


def mixture(**options):
  given = {"of": OF, "weights": (3, 1), "sequence_length": LENGTH, "data_dir": ""}
  return Mixture(**{**given, **options})


def rows(batch):
  return [row.tobytes() for row in batch.inputs]


def test_every_block_holds_the_shares_exactly():
  dataset = mixture(weights=(0.7, 0.3))
  assert dataset.shares == {"ones_1": 0.7, "ones_2": 0.3}
  chosen, within = dataset._drawn(np.arange(3_000))
  for block in chosen.reshape(3, 1000):
    assert np.bincount(block).tolist() == [700, 300]
  assert not np.array_equal(chosen[:1000], chosen[1000:2000])
  for source, count in ((0, 2_100), (1, 900)):  # No example is left out or drawn twice.
    assert within[chosen == source].tolist() == list(range(count))
  # Random places: a batch of 20 has 6 ± 2 of the second, not always 6.
  counts = (chosen.reshape(-1, 20) == 1).sum(axis=1)
  assert 1 < counts.std() < 3


def test_a_source_goes_through_its_own_passes_in_its_own_order():
  dataset = mixture()
  second = dataset.sources[1]
  size = second.size("train")
  batches = dataset.batches("train", 0, 4 * size, 2)  # 2 passes of the second.
  flat = each_array(lambda x: x.reshape(-1, LENGTH), batches)
  chosen, _ = dataset._drawn(np.arange(len(flat.inputs)))
  own = flat.inputs[chosen == 1]
  expected = in_passes(second, np.arange(len(own)))
  np.testing.assert_array_equal(own, expected.inputs)
  assert len(own) >= 2 * size - 10


@pytest.mark.parametrize("split", ["train", "validation"])
def test_shards_tile_each_batch(split):
  dataset = mixture()
  for step in (0, 7, 65):  # The last spans two blocks of 1,000.
    whole = dataset.batch(split, step, BATCH)
    shards = [dataset.batch(split, step, BATCH, (i, 8)) for i in range(8)]
    together = each_array(lambda *arrays: np.concatenate(arrays), *shards)
    jax.tree.map(np.testing.assert_array_equal, together, whole)


def test_a_batch_is_a_function_of_its_step():
  dataset, again = mixture(), mixture()
  many = dataset.batches("train", 60, 5, BATCH)
  for i in range(5):
    one = again.batch("train", 60 + i, BATCH)
    np.testing.assert_array_equal(many.inputs[i], one.inputs)
  other = with_order(dataset, Order(3))
  assert rows(other.batch("train", 0, BATCH)) != rows(dataset.batch("train", 0, BATCH))


def test_validation_has_the_batches_of_each_source_in_turn():
  dataset = mixture()
  parts = dataset.parts("validation", BATCH)
  counts = [num_batches(each, "validation", BATCH) for each in dataset.sources]
  assert [len(part) for part in parts.values()] == counts
  assert num_batches(dataset, "validation", BATCH) == sum(counts) > 2
  for source, part in zip(dataset.sources, parts.values(), strict=True):
    for i, step in enumerate(part):
      jax.tree.map(
        np.testing.assert_array_equal,
        dataset.batch("validation", step, BATCH),
        source.batch("validation", i, BATCH),
      )
  assert not dataset.batch("validation", sum(counts), BATCH).weights.any()
  assert not dataset.batch("validation", sum(counts) + 5, BATCH).weights.any()


def test_examples_are_those_of_all_sources():
  dataset = mixture()
  first, second = dataset.sources
  batch = dataset.examples("train", 0, np.array([dataset.size("train") - 1, 0]))
  last = second.examples("train", 0, np.array([second.size("train") - 1]))
  np.testing.assert_array_equal(batch.inputs[0], last.inputs[0])
  np.testing.assert_array_equal(
    batch.inputs[1], first.examples("train", 0, np.zeros(1, int)).inputs[0]
  )


def test_other_lengths_and_held_out_examples():
  longer = dataclasses.replace(mixture(), sequence_length=16)
  assert longer.batch("train", 0, 4).inputs.shape == (4, 16)
  held = hold_out(mixture(names=("a", "b")), 0.25)
  sizes = [each.size("train") // 4 for each in mixture().sources]
  assert held.size("validation") == sum(sizes)
  assert {*held.parts("validation", BATCH)} == {"a", "b"}
  assert held.fingerprint != mixture().fingerprint
  again = dataclasses.replace(held, sequence_length=16)  # Still held out.
  assert again.size("validation") < held.size("validation")
  assert held.counts == again.counts == (750, 250)


def test_weights_and_sources_are_in_the_fingerprint():
  changes = [{}, {"weights": (1, 1)}, {"seed": 1}, {"of": OF[::-1]}]
  prints = {mixture(**change).fingerprint for change in changes}
  assert len(prints) == len(changes)
  assert mixture().fingerprint == mixture(weights=(0.75, 0.25)).fingerprint


def test_masked_sources_are_for_encoders():
  config = tiny_config(
    architecture__name="encoder",
    dataset="mixture(of=('masked(of=\\'ones\\')', \"masked(of='ones(size_=900)')\"))",
  )
  dataset = assemble(config).dataset
  assert dataset.task == "masked"
  assert dataset.source_names == ("masked_1", "masked_2")
  assert dataset.counts == (500, 500)
  assert dataset.vocabulary.size == 5


def test_sources_with_a_best_loss_have_their_mean():
  small = "sequence_length=8, train_examples=10"
  dataset = mixture(of=(f"copy({small})", f"copy({small}, seed=1)"))
  assert (dataset.best_loss, dataset.primary) == (0.0, "accuracy")
  assert mixture().best_loss is None


def sums_of(loss, weight):
  one = np.float32(weight)
  sums = Sums(np.float32(loss * weight), one, one)
  return Measured(sums, one, one, one)  # A byte per token.


def test_the_loss_is_the_mean_of_the_sources_weighted_by_their_shares():
  dataset = mixture(names=("a", "b"))
  parts = dataset.parts("validation", BATCH)
  numbers = [*parts["a"], *parts["b"]]
  totals = [sums_of(2.0, 50) for _ in parts["a"]] + [
    sums_of(4.0, 7) for _ in parts["b"]
  ]
  found = split_figures(dataset, "validation", BATCH, numbers, totals)
  assert found["loss/a"] == pytest.approx(2)
  assert found["loss/b"] == pytest.approx(4)
  assert found["loss"] == pytest.approx(0.75 * 2 + 0.25 * 4)  # Whatever their sizes.
  assert found["bits_per_byte/b"] == pytest.approx(4 / np.log(2))
  some = numbers[-1:]
  found = split_figures(dataset, "validation", BATCH, some, totals[-1:])
  assert {"loss", "loss/b"} <= {*found}
  assert "loss/a" not in found
  found = split_figures(dataset, "train", BATCH, numbers, totals)
  assert not any("/" in key for key in found)


def test_each_validation_while_training_has_batches_of_each_source():
  dataset = mixture(of=("ones", "ones(letter='b', size_=400)"))
  parts = dataset.parts("validation", 2).values()
  assert [len(part) for part in parts] == [13, 3]
  for most in (1, 2, 4, 9):
    chosen = validation_subset(dataset, 2, most)
    assert all({*part} & {*chosen} for part in parts)
    assert len(chosen) <= most + 1
    assert chosen == sorted(chosen)
  assert validation_subset(dataset, 2, 0) == list(range(16))


def test_the_level_of_chance_is_that_of_the_mixture():
  of = "ones(ones=0.9)", "ones(ones=0.2, letter='b')"
  found = constant_guess(mixture(of=of))
  one, shares = mixture().vocabulary.encode("1")[0], []
  for source in mixture(of=of).sources:
    batch = source.examples("validation", 0, np.arange(source.size("validation")))
    shares.append((batch.targets == one)[batch.weights > 0].mean())
  assert found["accuracy"] == pytest.approx(0.75 * shares[0] + 0.25 * shares[1])


def test_equal_shares_are_the_default():
  assert mixture(weights=()).counts == (500, 500)
  assert mixture(of=(*OF, OF[0]), weights=()).counts == (334, 333, 333)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ("of=('ones',)", "take two datasets or more, as text"),
    ("of=('ones', 3)", "take two datasets or more, as text"),
    ("of='ones'", "expected tuple"),
    ("of=('ones', 'ones'), weights=(1,)", "1 weights for 2 datasets"),
    ("of=('ones', 'ones'), weights=(1, -1)", "take numbers above 0"),
    ("of=('ones', 'ones'), weights=(0, 0)", "take numbers above 0"),
    ("of=('ones', 'ones'), weights=(1, 'x')", "take numbers above 0"),
    ("of=('ones', 'ones'), weights=(1, 1e9)", "less than 1 in 1,000"),
    ("of=('ones', 'onse')", "Did you mean 'ones'"),
    ("of=('ones', 'python_docs')", "Take one vocabulary for all"),
    ("of=('ones', 'ones(sequence_length=64)')", "Set one length for all"),
    ("of=('ones', 'ones'), names=('a', 'a')", "take one name for each of 2"),
    ("of=('ones', 'ones'), seed=-1", "take 0 or more"),
    ("of=('ones', 'parity')", "no form of targets in common"),
    ("of=('ones', \"mixture(of=('ones', 'ones'))\")", "no sequence of single examples"),
    ("", "needs an option"),
  ],
)
def test_mistakes_are_refused(options, message):
  with pytest.raises(UserError) as error:
    assemble(tiny_config(dataset=f"mixture({options})"))
  assert message in str(error.value)
  assert "\n" not in str(error.value)
