"""Copying: a random string, a bar, and the same string again to be predicted."""

import dataclasses
import hashlib
import string

import numpy as np

from attention_lab.dataset.base import Batch, Dataset, register_dataset
from attention_lab.dataset.vocabulary import CharacterVocabulary
from attention_lab.errors import UserError


@register_dataset("copy")
@dataclasses.dataclass(kw_only=True)
class Copy(Dataset):
  """`abc|abc`: only the second half counts. A perfect model's loss is 0.

  Examples are generated from their number, and validation shares none of training's
  random stream.
  """

  sequence_length: int = 32  # Tokens in an example: half of it is the string.
  alphabet: int = 8  # Different letters, at most 26.
  train_examples: int = 65_536  # Different examples to train on.
  validation_examples: int = 512  # Examples to validate on.

  def __post_init__(self) -> None:
    if not 1 <= self.alphabet <= 26:
      raise UserError(f"copy(alphabet={self.alphabet}): take 1 to 26 letters.")
    if self.sequence_length < 2 or self.sequence_length % 2:
      raise UserError(
        f"copy(sequence_length={self.sequence_length}): take an even number, 2 or more."
      )
    for option in ("train_examples", "validation_examples"):
      if getattr(self, option) < 1:
        raise UserError(f"copy({option}={getattr(self, option)}): take 1 or more.")

  @property
  def vocabulary(self) -> CharacterVocabulary:
    return CharacterVocabulary(string.ascii_lowercase[: self.alphabet] + "|")

  @property
  def fingerprint(self) -> str:
    options = (self.seed, self.sequence_length, self.alphabet, self.train_examples)
    return hashlib.sha256(repr(("copy", 1, *options)).encode()).hexdigest()

  def size(self, split: str) -> int:
    return self.train_examples if split == "train" else self.validation_examples

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    half = self.sequence_length // 2
    stream = {"train": 2, "validation": 3}[split]
    letters = np.stack(
      [
        np.random.default_rng((self.seed, stream, int(i))).integers(
          self.alphabet, size=half
        )
        for i in indices
      ]
    )
    bar = np.full((len(indices), 1), self.alphabet)
    sequence = np.concatenate([letters, bar, letters], axis=1).astype(np.int32)
    weights = np.zeros((len(indices), self.sequence_length), np.float32)
    weights[:, half:] = 1
    return Batch(sequence[:, :-1], sequence[:, 1:], weights)
