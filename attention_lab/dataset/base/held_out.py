"""Validation on a part of the training examples, so that settings can be chosen on it."""

import dataclasses
import functools

import numpy as np

from attention_lab.dataset.base.bucketed import Bucketed
from attention_lab.dataset.base.dataset import Batch, Dataset, common_fields, with_order
from attention_lab.dataset.base.order import Order
from attention_lab.dataset.base.wrapped import Wrapped
from attention_lab.errors import UserError

# Examples between the two parts: the windows of a text start later in other passes.
GAP = 1


def hold_out(dataset: Dataset, share: float) -> Dataset:
  """Return a dataset that validates on the last training examples, and trains on the rest.

  Args:
    dataset: a dataset of single sequences of one length.
    share: part of the training examples to validate on, between 0 and 1.

  Raises:
    UserError: the dataset has pairs or batches of several shapes, or too few examples.
  """
  if isinstance(dataset, Bucketed) or dataset.task == "pairs":
    raise UserError(
      "--config.train.held_out is for single sequences of one length, not for pairs; "
      "omit it."
    )
  if isinstance(dataset, Wrapped) and not isinstance(dataset, HeldOut):
    return dataset.over([hold_out(source, share) for source in dataset.sources])
  return HeldOut(of=dataset, share=share, **common_fields(dataset))


@dataclasses.dataclass(kw_only=True)
class HeldOut(Wrapped):
  """Validates on the last examples of the first training pass of another dataset.

  These are the same for all runs. All passes of the training split leave them out.
  """

  of: Dataset
  share: float  # Of the training examples, which validation uses.

  def __post_init__(self) -> None:
    self.wrap(self.of)
    # An instance has these from the other dataset, not from a class.
    vars(self).update(primary=self.of.primary, tasks=self.of.tasks)
    self._first = with_order(self.source, Order())

  @functools.cached_property
  def _sizes(self) -> dict[str, int]:
    whole = self.source.size("train")
    held = max(1, round(whole * self.share))
    if whole - held - GAP < 1:
      raise UserError(
        f"--config.train.held_out={self.share} of {whole} training examples leaves none "
        f"to train on; take less, or more data."
      )
    return {"train": whole - held - GAP, "validation": held}

  @property
  def recipe(self) -> str:
    return f"{self.share} held out"

  def size(self, split: str) -> int:
    return self._sizes[split]

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    if split == "validation":
      start = self._sizes["train"] + GAP
      return self._first.examples("train", 0, start + indices)
    return self.source.examples("train", epoch, indices)

  @property
  def best_loss(self) -> float | None:
    return self.source.best_loss

  @property
  def token_bytes(self) -> np.ndarray | None:
    return self.source.token_bytes
