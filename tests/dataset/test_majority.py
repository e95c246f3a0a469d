"""Labels of majority equal counted letters."""

from collections import Counter

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError


def made(options):
  return datasets.bind(f"majority({options})")(data_dir="")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_label_is_the_most_frequent_letter_and_the_first_of_ties(split):
  dataset = made("sequence_length=6, alphabet=3")
  batch = dataset.batch(split, 0, 64)
  ties = 0
  for inputs, targets, weights in zip(*batch[:3], strict=True):
    text = dataset.vocabulary.decode(inputs)
    counts = Counter(text)
    most = max(counts.values())
    winners = sorted(letter for letter in counts if counts[letter] == most)
    assert dataset.vocabulary.decode(targets[-1:]) == winners[0]
    np.testing.assert_array_equal(weights, [0, 0, 0, 0, 0, 1])
    ties += len(winners) > 1
  assert 0 < ties < 64


def test_running_labels_are_those_of_each_prefix():
  running = made("sequence_length=9, alphabet=3, running=True")
  batch = running.batch("train", 0, 16)
  assert batch.weights.all()
  for inputs, targets in zip(batch.inputs, batch.targets, strict=True):
    for end in range(1, 10):
      counts = Counter(inputs[:end].tolist())
      most = max(counts.values())
      assert targets[end - 1] == min(i for i in counts if counts[i] == most)


def test_data_of_earlier_versions_are_the_same():
  """The option `running` is newer than runs that are stored."""
  assert made("").fingerprint.startswith("98099e99")
  assert made("running=True").fingerprint != made("").fingerprint


def test_every_letter_occurs_as_a_label():
  labels = made("alphabet=4").batch("train", 0, 64).targets[:, -1]
  assert set(labels) == {0, 1, 2, 3}


def test_single_letter_is_its_own_label():
  batch = made("sequence_length=1").batch("train", 0, 8)
  np.testing.assert_array_equal(batch.targets, batch.inputs)


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ("alphabet=1", "take 2 to 26 letters"),
    ("alphabet=27", "take 2 to 26 letters"),
    ("sequence_length=0", r"sequence_length=0\): take 1 or more"),
    ("train_examples=0", r"train_examples=0\): take 1 or more"),
    ("validation_examples=0", r"validation_examples=0\): take 1 or more"),
  ],
)
def test_invalid_options_are_rejected(options, message):
  with pytest.raises(UserError, match=message):
    made(options)
