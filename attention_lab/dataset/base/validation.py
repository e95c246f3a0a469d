"""Validation of a dataset: sizes, shapes, dtypes, and tokens within its vocabulary."""

from typing import Any

import numpy as np

from attention_lab.dataset.base.dataset import Batch, Dataset, datasets
from attention_lab.errors import UserError


def refuse_invalid_batch(dataset: Dataset, split: str, batch: Any) -> None:
  """Raise `UserError` for an invalid batch.

  Without this check XLA silently replaces a token outside the vocabulary by another one.

  Args:
    dataset: source of the batch.
    split: one of its splits.
    batch: arrays of one shape, with the rows of one batch or of several.
  """
  if not isinstance(batch, Batch):
    kind = type(batch).__name__
    raise UserError(
      f"{_name(dataset)}: its {split} examples are a {kind}, not a Batch."
    )
  shape = np.shape(batch.inputs)
  for name, array in batch._asdict().items():
    if name == "source" and array is None:
      continue
    found = np.asarray(array)
    wanted = np.floating if name == "weights" else np.integer
    if not np.issubdtype(found.dtype, wanted):
      expected = "float32" if name == "weights" else "int32"
      raise _invalid(dataset, split, f"{name} of the dtype {found.dtype}", expected)
    if name != "source" and found.shape != shape:
      other = f"{name} of the shape {list(found.shape)}"
      raise _invalid(dataset, split, other, f"that of its inputs, {list(shape)}")
  _refuse_values(dataset, split, batch)


def _refuse_values(dataset: Dataset, split: str, batch: Batch) -> None:
  size = dataset.vocabulary.size
  if not batch.inputs.size:
    raise _invalid(dataset, split, "no token", "at least one")
  for name in ("inputs", "targets"):
    array = getattr(batch, name)
    least, most = int(array.min()), int(array.max())
    if least < 0 or most >= size:
      token = least if least < 0 else most
      raise _invalid(
        dataset, split, f"{name} with the token {token}", f"0 to {size - 1}"
      )
  if batch.source is not None and batch.source.size and batch.source.max() >= size:
    found = f"a source with the token {batch.source.max()}"
    raise _invalid(dataset, split, found, f"less than {size}")
  weights = batch.weights
  if not (np.isfinite(weights).all() and weights.min() >= 0):
    raise _invalid(dataset, split, "weights that are negative or not finite", "0 or 1")


def refuse_invalid_dataset(dataset: Dataset, batch_size: int) -> None:
  """Raise `UserError` unless every split has examples and a valid first batch."""
  for split in dataset.splits:
    size = dataset.size(split)
    if not isinstance(size, (int, np.integer)) or size < 1:
      raise UserError(
        f"{_name(dataset)}: its size({split!r}) is {size!r}; it has to be a whole number "
        f"above 0."
      )
    batch = dataset.examples(split, 0, np.arange(1))
    refuse_invalid_batch(dataset, split, batch)
    if len(batch.inputs) != 1:
      found = f"{len(batch.inputs)} rows for 1 number"
      raise _invalid(dataset, split, found, "a row for each")
    batch = dataset.batch(split, 0, batch_size)
    refuse_invalid_batch(dataset, split, batch)
    if dataset.prefix_length:
      _refuse_prefix(dataset, split, batch)


def _refuse_prefix(dataset: Dataset, split: str, batch: Batch) -> None:
  """Raise `UserError` unless targets count, and all that do are behind the prefix."""
  if batch.weights[:, : dataset.prefix_length - 1].any():
    found = f"targets that count within the prefix of {dataset.prefix_length} tokens"
    raise _invalid(dataset, split, found, "none: apply `behind_prefix` in `batches`")
  if not batch.weights.any():
    found = f"no target that counts behind the prefix of {dataset.prefix_length} tokens"
    raise _invalid(dataset, split, found, "a shorter prefix")


def _invalid(dataset: Dataset, split: str, found: str, expected: str) -> UserError:
  return UserError(
    f"{_name(dataset)}: its {split} examples have {found}; expected {expected}."
  )


def _name(dataset: Dataset) -> str:
  kind = type(dataset)
  name = next((name for name in datasets if datasets[name] is kind), kind.__name__)
  return f"--dataset={name}"
