"""Images of digits: the pixels in their order, each image in one split."""

import builtins

import numpy as np
import pytest
from sklearn.datasets import load_digits

from attention_lab.dataset.base.dataset import datasets
from attention_lab.errors import UserError


def made(options=""):
  return datasets.bind(f"digits({options})")(data_dir="")


def rows(dataset):
  """Return every image of a dataset with its label, as [1797, 65]."""
  found = []
  for split in dataset.splits:
    batch = dataset.examples(split, 0, np.arange(dataset.size(split)))
    assert (batch.inputs[:, -1] == 17).all()
    assert (batch.weights.sum(axis=1) == 1).all()
    assert batch.weights[:, -1].all()
    found.append(np.append(batch.inputs[:, :-1], batch.targets[:, -1:] - 18, axis=1))
  return np.concatenate(found)


def ordered(rows):
  return rows[np.lexsort(rows.T)]


def test_the_splits_hold_every_image_of_scikit_learn_once():
  dataset, data = made(), load_digits()
  assert [dataset.size(split) for split in dataset.splits] == [1258, 180, 359]
  expected = np.append(data.images.reshape(-1, 64), data.target[:, None], axis=1)
  np.testing.assert_array_equal(ordered(rows(dataset)), ordered(expected))


def test_a_label_is_a_word_of_its_own():
  dataset = made()
  batch = dataset.examples("train", 0, np.arange(8))
  words = dataset.vocabulary.decode(batch.targets[0, -1:])
  assert words == f"digit{batch.targets[0, -1] - 18}"
  assert dataset.prompt().endswith(" =")


def test_the_seed_chooses_the_splits_and_the_permutation():
  plain, other, again = made(), made("seed=1"), made("seed=1")
  assert plain.fingerprint != other.fingerprint == again.fingerprint
  assert not np.array_equal(rows(plain), rows(other))
  np.testing.assert_array_equal(rows(other), rows(again))


def test_permuted_pixels_have_one_order_for_all_images():
  plain, permuted = rows(made()), rows(made("permuted=True"))
  assert not np.array_equal(plain, permuted)
  columns, others = ({bytes(c) for c in x.T.copy()} for x in (plain, permuted))
  assert columns == others  # The same pixels, in other places.
  np.testing.assert_array_equal(plain[:, -1], permuted[:, -1])


@pytest.mark.parametrize(
  ("options", "message"),
  [
    ("sequence_length=64", "an image has 65 tokens"),
    ("seed=-1", r"seed=-1\): take 0 or more"),
  ],
)
def test_invalid_options_are_rejected(options, message):
  with pytest.raises(UserError, match=message):
    made(options)


def test_a_missing_package_is_named(monkeypatch):
  load = builtins.__import__

  def fail(name, *rest):
    if name.startswith("sklearn"):
      raise ImportError(name)
    return load(name, *rest)

  monkeypatch.setattr(builtins, "__import__", fail)
  with pytest.raises(UserError, match=r"pip install scikit-learn, or .*\[digits\]"):
    made().size("train")
