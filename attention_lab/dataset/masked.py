"""Masked language modelling on any text (BERT: Devlin et al., arXiv:1810.04805)."""

import contextlib
import dataclasses
import functools
import re
import zlib
from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import Batch, register_dataset
from attention_lab.dataset.base.wrapped import Wrapped, source_of
from attention_lab.errors import UserError
from attention_lab.plugin.ranges import Share
from attention_lab.tokenizer.base.vocabulary import (
  Vocabulary,
  separator_of,
  special_token_of,
)

MASK = "[MASK]"  # The new token, as text.
STREAM = 3  # Of the random numbers of a training pass; windows of a text have stream 1.


@register_dataset("masked")
@dataclasses.dataclass(kw_only=True)
class Masked(Wrapped):
  """Hides tokens of another dataset, each of which is to be predicted from both sides.

  Of the tokens of an example, `share` are targets, chosen at random: that many rounded to
  a whole number, and one at least. Each target is replaced by the token [MASK] with the
  probability `hidden`, by a random token with the probability `replaced`, and otherwise
  left as it is. Separators of documents are neither targets nor random tokens. Every
  training pass hides other tokens; validation always hides the same ones.
  """

  of: str = "python_docs"  # The dataset, with options if it needs any.
  share: Share = 0.15  # Share of the tokens that are targets.
  hidden: float = 0.8  # Share of the targets that become [MASK].
  replaced: float = 0.1  # Share of the targets that become a random token.
  mask_token: str = ""  # A token of the vocabulary to use as [MASK]; "" for a new one.

  tasks: ClassVar[tuple[str, ...]] = ("masked",)

  def __post_init__(self) -> None:
    self._refuse_options()
    self.wrap(source_of(self.of, self, "next_token"))

  def _refuse_options(self) -> None:
    if self.share <= 0:
      raise UserError(f"masked(share={self.share}): take more than 0, such as 0.15.")
    if self.seed < 0:
      raise UserError(f"masked(seed={self.seed}): take 0 or more.")
    if min(self.hidden, self.replaced) < 0 or self.hidden + self.replaced > 1:
      raise UserError(
        f"masked(hidden={self.hidden}, replaced={self.replaced}): these are shares of the "
        f"targets; take 0 or more, and at most 1 in total."
      )

  @functools.cached_property
  def vocabulary(self) -> "MaskedVocabulary":
    known = self.source.vocabulary
    if not self.mask_token:
      return MaskedVocabulary(known, known.size, MASK)
    special = special_token_of(known, self.mask_token)
    tokens = [] if special is None else [special]
    if not tokens:
      with contextlib.suppress(UserError):  # A character that no token has.
        tokens = list(known.encode(self.mask_token))
    if len(tokens) != 1:
      raise UserError(
        f"masked(mask_token={self.mask_token!r}): this is not one token of the vocabulary "
        f"of {self.of}. Omit it for a new token, {MASK}."
      )
    return MaskedVocabulary(known, int(tokens[0]), self.mask_token)

  @functools.cached_property
  def _ordinary(self) -> np.ndarray:
    """The tokens that may be targets and random tokens."""
    vocabulary = self.vocabulary
    special = {vocabulary.mask, vocabulary.separator}
    return np.array([i for i in range(vocabulary.size) if i not in special], np.int32)

  @property
  def recipe(self) -> str:
    options = self.share, self.hidden, self.replaced, self.mask_token, self.seed
    return f"masked {options}"

  def size(self, split: str) -> int:
    return self.source.size(split)

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    batch = self.source.examples(split, epoch, indices)
    tokens, vocabulary = batch.inputs, self.vocabulary
    random = self._random(split, epoch, indices)
    real = _is_text(batch.weights)
    allowed = real & (tokens != vocabulary.mask)
    if vocabulary.separator is not None:
      allowed &= tokens != vocabulary.separator
    length = tokens.shape[1]
    targets = _choose(random.uniform(length), allowed, self.share)
    fate = random.uniform(length)
    others = self._ordinary[random.integers(len(self._ordinary), length)]
    changed = np.where(fate < self.hidden + self.replaced, others, tokens)
    changed = np.where(fate < self.hidden, vocabulary.mask, changed)
    # Behind the end of a split there is no text: nothing of it is shown.
    inputs = np.where(targets, changed, np.where(real, tokens, vocabulary.mask))
    return Batch(inputs.astype(np.int32), tokens, targets.astype(np.float32))

  def _random(self, split: str, epoch: int, indices: np.ndarray) -> CounterRandom:
    """Return the random numbers of some examples of one pass."""
    if split == "train":
      seed = int(self.order.random(self.seed, epoch, STREAM).integers(2**63))
      return CounterRandom(seed, 0, indices)
    return CounterRandom(self.seed, zlib.crc32(split.encode()), indices)


def _is_text(weights: np.ndarray) -> np.ndarray:
  """Return which inputs belong to the split: bool [B, T], from weights [B, T].

  The weights are those of the next tokens. The first token always does, and every token
  in front of one that counts.
  """
  from_here = np.logical_or.accumulate(weights[:, ::-1] > 0, axis=1)[:, ::-1]
  first = np.ones((len(weights), 1), bool)
  return np.concatenate([first, from_here[:, :-1]], axis=1)


def _choose(keys: np.ndarray, allowed: np.ndarray, share: float) -> np.ndarray:
  """Return which tokens are targets, bool [B, T]: those with the smallest keys.

  Args:
    keys: distinct random numbers below 1: [B, T].
    allowed: which tokens may be chosen: bool [B, T].
    share: share of these to choose; at least one is.
  """
  counts = np.maximum(1, np.round(share * allowed.sum(axis=1))).astype(np.int64)
  keys = np.where(allowed, keys, 1.0)
  last = np.take_along_axis(np.sort(keys, axis=1), counts[:, None] - 1, axis=1)
  return allowed & (keys <= last)


@dataclasses.dataclass(frozen=True)
class MaskedVocabulary:
  """Another vocabulary with a token that hides others."""

  known: Vocabulary  # The other vocabulary.
  mask: int  # The token; the size of `known` if that lacks it.
  text: str  # How it is written.

  @property
  def size(self) -> int:
    """Number of tokens."""
    return max(self.known.size, self.mask + 1)

  @property
  def separator(self) -> int | None:
    """The token in front of each document; None if there is none."""
    return separator_of(self.known)

  def encode(self, text: str) -> np.ndarray:
    """Return a text as int32 [length]; raise `UserError` for an unknown symbol."""
    parts: list[np.ndarray] = []
    for piece in re.split(f"({re.escape(self.text)})", text):
      if piece == self.text:
        parts.append(np.array([self.mask], np.int32))
      elif piece:
        parts.append(self.known.encode(piece))
    return np.concatenate([np.zeros(0, np.int32), *parts])

  def decode(self, tokens: Iterable[int]) -> str:
    """Return tokens as text."""
    pieces, known = [], list[int]()
    for token in map(int, tokens):
      if token == self.mask:
        pieces += [self.known.decode(known), self.text]
        known = []
      else:
        known.append(token)
    return "".join([*pieces, self.known.decode(known)])
