"""Targets within a prefix do not count, whatever the batches are made of."""

import dataclasses

import numpy as np
import pytest

from attention_lab.dataset.base.dataset import datasets
from attention_lab.dataset.base.held_out import hold_out
from attention_lab.dataset.base.strided import strided
from attention_lab.dataset.base.validation import refuse_invalid_dataset
from attention_lab.dataset.copy import Copy
from attention_lab.errors import UserError

PREFIX = 3


def made(spec, folder="", prefix=PREFIX):
  """Return a dataset with a prefix."""
  return datasets.bind(spec)(data_dir=str(folder), prefix_length=prefix)


@pytest.fixture
def text(tmp_path):
  (tmp_path / "text.txt").write_text("to be or not to be, that is the question. " * 20)
  return lambda prefix=PREFIX: made(
    "text(path='text.txt', sequence_length=8)", tmp_path, prefix
  )


COPY = "copy(sequence_length=8)"


@pytest.mark.parametrize(
  ("spec", "prefix"),
  [
    (COPY, 6),
    ("needle(sequence_length=110, validation_examples=10, queries=2, keys=2)", 100),
    (f"mixture(of=({COPY!r}, 'copy(sequence_length=8, seed=1)'))", 6),
  ],
)
def test_only_targets_behind_the_prefix_count(spec, prefix):
  """In datasets that make their batches in three ways."""
  dataset, whole = made(spec, prefix=prefix), made(spec, prefix=0)
  for split in ("train", "validation"):
    weights, before = (x.batch(split, 1, 4).weights for x in (dataset, whole))
    assert before[:, : prefix - 1].any()
    assert not weights[:, : prefix - 1].any()
    np.testing.assert_array_equal(weights[:, prefix - 1 :], before[:, prefix - 1 :])


def test_windows_that_overlap_or_are_held_out_have_a_prefix(text):
  for dataset in (text(), hold_out(text(), 0.25), strided(text(), 4)):
    weights = dataset.batch("validation", 0, 1).weights[0]
    assert weights[: PREFIX - 1].tolist() == [0.0, 0.0]
    assert weights[PREFIX - 1] == 1
  longer = dataclasses.replace(text(), sequence_length=12)
  assert not longer.batch("validation", 0, 2).weights[:, : PREFIX - 1].any()


def test_the_default_prompt_has_a_whole_prefix(text):
  dataset = text()
  assert len(dataset.vocabulary.encode(dataset.prompt())) == PREFIX
  assert len(hold_out(dataset, 0.25).prompt()) == PREFIX
  copying = made(COPY, prefix=7)
  assert len(copying.vocabulary.encode(copying.prompt())) == 7


def test_words_are_not_counted_where_a_prefix_is_left_out(text):
  assert text().words("validation") is None
  assert text(prefix=0).words("validation") > 5


def test_a_dataset_that_counts_the_prefix_is_refused():
  class Counts(Copy):
    def batches(self, *arguments):
      batch = super().batches(*arguments)
      return batch._replace(weights=np.ones_like(batch.weights))

  counts = Counts(data_dir="", sequence_length=8, prefix_length=PREFIX)
  with pytest.raises(UserError, match="count within the prefix of 3 .*behind_prefix"):
    refuse_invalid_dataset(counts, 4)
