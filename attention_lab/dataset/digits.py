"""Images of handwritten digits, pixel by pixel (scikit-learn's `load_digits`).

Alpaydin & Kaynak, "Optical recognition of handwritten digits", UCI repository, 1998: 1,797
images of 8 × 8 pixels. As a sequence to classify, as in Long Range Arena (Tay et al.,
arXiv:2011.04006); permuted pixels as in Le et al., arXiv:1504.00941.
"""

import dataclasses
import functools
import hashlib
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.dataset import SPLITS, Batch, Dataset, register_dataset
from attention_lab.dataset.base.labelled import labelled
from attention_lab.errors import UserError, not_installed
from attention_lab.tokenizer.base.vocabulary import WordVocabulary

PIXELS = 64
LEVELS = 17  # Of grey, 0 to 16.
ASKS = LEVELS  # The token "=".
LABELS = ASKS + 1  # The token of the digit 0.
SHARES = {"train": 0.7, "validation": 0.1, "test": 0.2}  # Of the images.


@register_dataset("digits")
@dataclasses.dataclass(kw_only=True)
class Digits(Dataset):
  """`0 0 5 13 9 … =` has the answer `digit0`, the only token that counts.

  A token is the grey level of a pixel, from the upper left one along the rows. The images
  are shuffled by `seed`: 70 % are for training, 10 % for validation, 20 % for the split
  "test", which --mode=evaluate reads. They ship inside scikit-learn.
  """

  tasks: ClassVar[tuple[str, ...]] = ("labels",)
  primary: ClassVar[str] = "accuracy"

  sequence_length: int = PIXELS + 1  # Tokens per example: 64 pixels, and "=".
  seed: int = 0  # Seed of the splits, and of the order beside the run's.
  permuted: bool = False  # Pixels in one random order, the same for all images.

  def __post_init__(self) -> None:
    if self.sequence_length != PIXELS + 1:
      raise UserError(
        f"digits(sequence_length={self.sequence_length}): an image has {PIXELS + 1} "
        f"tokens, 64 pixels and '='; omit it."
      )
    if self.seed < 0:
      raise UserError(f"digits(seed={self.seed}): take 0 or more.")

  @property
  def splits(self) -> tuple[str, ...]:
    return (*SPLITS, "test")

  @functools.cached_property
  def vocabulary(self) -> WordVocabulary:
    digits = (f"digit{number}" for number in range(10))
    return WordVocabulary((*map(str, range(LEVELS)), "=", *digits))

  @functools.cached_property
  def _examples(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Tokens [images, 65] and labels [images] of each split."""
    try:
      from sklearn.datasets import load_digits
    except ImportError:
      raise not_installed("--dataset=digits", "digits", "scikit-learn") from None
    data = load_digits()
    random = np.random.default_rng(self.seed)
    order = random.permutation(len(data.target))
    pixels = random.permutation(PIXELS) if self.permuted else np.arange(PIXELS)
    images = data.data.astype(np.uint8)[order][:, pixels]
    tokens = np.pad(images, ((0, 0), (0, 1)), constant_values=ASKS)
    labels = LABELS + data.target[order]
    ends = np.round(np.cumsum(list(SHARES.values())) * len(order)).astype(int)[:-1]
    pieces = zip(np.split(tokens, ends), np.split(labels, ends), strict=True)
    return dict(zip(SHARES, pieces, strict=True))

  @functools.cached_property
  def fingerprint(self) -> str:
    digest = hashlib.sha256()
    for tokens, labels in self._examples.values():
      digest.update(tokens.tobytes() + labels.astype(np.int64).tobytes())
    return digest.hexdigest()

  def size(self, split: str) -> int:
    return len(self._examples[split][0])

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    tokens, labels = self._examples[split]
    return labelled(tokens[indices], labels[indices], PIXELS + 1, ASKS)
