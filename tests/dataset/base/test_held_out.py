"""A part of the training examples is validated on, and never trained on."""

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import with_order
from attention_lab.dataset.base.held_out import hold_out
from attention_lab.dataset.base.order import Order
from attention_lab.dataset.base.text import Text
from attention_lab.errors import UserError
from attention_lab.experiment import assemble
from tests.parts import tiny_config

LENGTH = 7


class Numbers(Text):
  """A text of 400 different characters, so that each token names its place."""

  def load(self):
    return "".join(chr(1_000 + i) for i in range(400))


def places(dataset, split, epochs=1):
  """Return the places of all inputs and targets of some passes."""
  batches = [
    dataset.examples(split, epoch, np.arange(dataset.size(split)))
    for epoch in range(epochs)
  ]
  return {
    int(place)
    for batch in batches
    for array in (batch.inputs, batch.targets)
    for place in array[batch.weights > 0]
  }


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_no_run_trains_on_what_it_validates_on(share):
  for seed in (0, 1, 2, 3):
    whole = Numbers(data_dir="", sequence_length=LENGTH, seed=seed, order=Order(seed))
    held = hold_out(whole, share)
    validated = places(held, "validation")
    trained = places(held, "train", epochs=12)
    assert not validated & trained
    assert max(validated | trained) < 360  # The validation split begins there.
    assert len(trained) > (1 - share) * len(places(whole, "train")) - 4 * LENGTH


def test_all_runs_validate_on_the_same_examples():
  one, other = (
    hold_out(Numbers(data_dir="", sequence_length=LENGTH, order=Order(seed)), 0.2)
    for seed in (1, 2)
  )
  assert places(one, "validation") == places(other, "validation")
  assert places(one, "train") != places(other, "train")
  again = with_order(one, Order(2))  # As the seeds of one program take theirs.
  np.testing.assert_array_equal(
    again.batch("train", 0, 4).inputs, other.batch("train", 0, 4).inputs
  )


def test_an_experiment_holds_out_as_its_configuration_says():
  config = tiny_config()
  whole = assemble(config).dataset
  config.train.held_out = 0.25
  held = assemble(config).dataset
  assert held.size("validation") == whole.size("train") // 4
  assert held.size("train") == whole.size("train") * 3 // 4 - 1
  assert (held.primary, held.best_loss) == (whole.primary, whole.best_loss)
  assert held.fingerprint != whole.fingerprint
  config.train.held_out = 0.5
  assert assemble(config).dataset.fingerprint != held.fingerprint


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"dataset": "copy(sequence_length=8, train_examples=2)"}, "leaves none to train"),
    (
      {"dataset": "random_pairs", "architecture__name": "encoder_decoder"},
      "not for pairs",
    ),
  ],
)
def test_what_cannot_be_held_out_is_refused(changes, message):
  with pytest.raises(UserError, match=message):
    assemble(tiny_config(train__held_out=0.5, **changes)).dataset.size("train")
