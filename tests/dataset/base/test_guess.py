"""The level of chance of a dataset."""

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets
from attention_lab.dataset.base.guess import constant_guess


def test_guess_is_the_entropy_and_the_most_frequent_target():
  dataset = datasets.bind("majority(alphabet=2, sequence_length=1)")(data_dir="")
  batch = dataset.examples("validation", 0, np.arange(512))
  share = max(np.bincount(batch.targets[batch.weights > 0])) / 512
  found = constant_guess(dataset)
  assert found["accuracy"] == share
  assert found["loss"] == pytest.approx(
    -share * np.log(share) - (1 - share) * np.log(1 - share)
  )


def test_targets_that_do_not_count_are_left_out():
  """Copies have one letter in 4; the whole strings have a bar, too."""
  dataset = datasets.bind("copy(alphabet=4, sequence_length=16)")(data_dir="")
  found = constant_guess(dataset)
  assert found["loss"] == pytest.approx(np.log(4), abs=0.01)
  assert found["accuracy"] == pytest.approx(0.25, abs=0.03)


def test_datasets_with_answers_are_judged_by_accuracy():
  assert datasets["copy"].primary == "accuracy"
  assert datasets["shakespeare"].primary == "loss"
