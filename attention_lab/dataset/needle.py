"""Needles in a haystack: facts that are hidden in a long text, and questions at its end.

With one key this is passkey retrieval (Mohtashami & Jaggi, arXiv:2305.16300); more keys,
values and queries are the tasks of RULER (Hsieh et al., arXiv:2404.06654).
"""

import dataclasses
import functools
import hashlib
import string
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from attention_lab.dataset.base.counter_random import CounterRandom
from attention_lab.dataset.base.dataset import (
  Batch,
  Dataset,
  register_dataset,
  with_order,
)
from attention_lab.dataset.base.generated import Numbered
from attention_lab.dataset.base.order import Order
from attention_lab.dataset.base.parts import EvenParts
from attention_lab.dataset.base.reference import around, empty, repeats
from attention_lab.dataset.base.wrapped import of_length, source_of
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary, Vocabulary

NOISE = "Rivers run to the sea. The wind moves the leaves. Night follows day. "
NEEDLE, END, AND = "The number of {} is ", ". ", ", "
LETTERS = string.ascii_lowercase
CHARACTERS = "".join(sorted({*LETTERS, *string.digits, *NOISE, *NEEDLE, *END, *AND}))


@register_dataset("needle")
@dataclasses.dataclass(kw_only=True)
class Needle(EvenParts, Numbered):
  """`… The number of qxvo is 4711. … The number of qxvo is 4711`: the last number counts.

  A needle names a random word, its key, and a random number, its value. The needles stand
  between the tokens of a haystack at random places, and `queries` of the keys are asked for
  behind it. The tokens of the answers count; each is predicted from those before it. The
  validation examples are divided evenly over `depths` depths of the needle that the first
  question asks for, from the start of the haystack (0 %) to its end (100 %); each depth
  has metrics of its own. RULER has 7 digits, and up to 4 keys, values and queries.

  Departures:
    - The queries follow one another, each with its answer, and the values of a key are
      asked for in the order in which they stand: so each token has one right answer.
    - A needle may interrupt a sentence of the haystack.
  """

  whole_answers: ClassVar[bool] = True

  sequence_length: int = 256  # Tokens per example: haystack, needles and questions.
  of: str = ""  # Dataset whose text is the haystack; "" for three sentences, repeated.
  keys: int = 1  # Different keys; 0 for as many needles as fit, and no haystack.
  values: int = 1  # Numbers of each key, in needles of their own.
  queries: int = 1  # Keys that are asked for.
  digits: int = 4  # Digits of a number, 1 to 9.
  letters: int = 4  # Letters of a key, 1 to 6.
  depths: int = 5  # Depths in validation, 1 or more.
  validation_examples: int = 500  # Examples to validate on, over all depths.

  def check(self) -> None:
    self.require("digits", 1 <= self.digits <= 9, "1 to 9")
    self.require("letters", 1 <= self.letters <= 6, "1 to 6")
    self.require("keys", self.keys >= 0, "0 or more")
    self.require("values", self.values >= 1, "1 or more")
    self.require("queries", self.queries >= 1, "1 or more")
    self.require("depths", self.depths >= 1, "1 or more")
    each = self.validation_examples % self.depths == 0
    self.require("validation_examples", each, f"a multiple of depths={self.depths}")
    alone = bool(self.keys) or not self.of
    self.require("keys", alone, f"1 or more for the haystack of={self.of!r}")
    most = self._most_keys()
    known = len(LETTERS) ** self.letters
    fits = self.keys > 0 or most >= 1
    self.require("sequence_length", fits, "more, so that needles and questions fit")
    known_queries = self.queries <= (self.keys or most)
    self.require("queries", known_queries, "at most the number of keys")
    self.require("letters", max(self.keys, 1) <= known, f"more for {self.keys} keys")

  def _most_keys(self) -> int:
    """Return the number of keys whose needles fit, if a token is a character."""
    needle = len(NEEDLE.format("")) + self.letters + self.digits + len(END)
    answers = len(AND.join(self.values * [self.digits * "0"])) + len(END)
    query = len(NEEDLE.format("")) + self.letters + answers
    room = self.sequence_length + 1 - self.queries * query
    return room // (self.values * needle)

  @property
  def part_names(self) -> Sequence[str]:
    return [f"depth {100 * depth:.3g} %" for depth in self._depths]

  @property
  def _depths(self) -> np.ndarray:
    """The depths of validation, as shares of the haystack."""
    return np.linspace(0, 1, self.depths) if self.depths > 1 else np.array([0.5])

  @functools.cached_property
  def _source(self) -> Dataset | None:
    """The dataset of the haystack."""
    if not self.of:
      return None
    # An example is a function of its number alone, whatever the run.
    source = with_order(source_of(self.of, self, "next_token"), Order())
    return of_length(source, self.sequence_length)

  @functools.cached_property
  def vocabulary(self) -> Vocabulary:
    if self._source is None:
      return CharacterVocabulary(CHARACTERS)
    known = self._source.vocabulary
    try:
      known.encode(CHARACTERS)
    except UserError as error:
      if not isinstance(known, CharacterVocabulary) or known.separated:
        raise UserError(f"needle(of={self.of!r}): {error}") from None
      return CharacterVocabulary.of(known.characters + CHARACTERS)
    return known

  @functools.cached_property
  def _renamed(self) -> np.ndarray | None:
    """Token of each token of the haystack's vocabulary; None if they are the same."""
    if self._source is None or self.vocabulary is self._source.vocabulary:
      return None
    known = self._source.vocabulary
    return self.vocabulary.encode(known.decode(range(known.size)))

  @property
  def fingerprint(self) -> str:
    own = super().fingerprint
    if self._source is None:
      return own
    return hashlib.sha256(f"{own}, {self._source.fingerprint}".encode()).hexdigest()

  def files(self) -> dict[str, bytes]:
    return {} if self._source is None else dict(self._source.files())

  def examples(self, split: str, epoch: int, indices: np.ndarray) -> Batch:
    del epoch
    random = self.random(split, indices)
    depths = random.uniform(1)[:, 0]
    if split != "train":
      depths = self._depths[self.part_of(split, indices)]
    tokens, counts = self._hide(random, self._haystacks(random, split), depths)
    return Batch(tokens[:, :-1], tokens[:, 1:], counts[:, 1:].astype(np.float32))

  def reference_attention(self, batch: Batch) -> np.ndarray | None:
    """Return the key's letters and the digit of the needle, for each digit of an answer."""
    if self.values > 1 or not isinstance(self.vocabulary, CharacterVocabulary):
      return None
    counted, positions = batch.weights > 0, np.arange(batch.inputs.shape[1])
    before = np.maximum.accumulate(np.where(counted, -1, positions), axis=1)
    found = empty(batch.inputs)
    for digit in range(self.digits):
      length = self.letters + len(NEEDLE.partition("{}")[2]) + digit
      key = range(1 - length, 1 - length + self.letters)
      answers = counted & (positions == before + 1 + digit)
      found |= answers[:, :, None] & around(repeats(batch.inputs, length), (*key, 1))
    return found

  def _haystacks(self, random: CounterRandom, split: str) -> np.ndarray:
    """Return haystacks that are long enough: [B, T] or [1, T]."""
    if self._source is None:
      noise = self.vocabulary.encode(NOISE)
      return np.resize(noise, (1, self.sequence_length))
    full = max(1, self._source.size(split) - 1)  # The last window may be short.
    found = self._source.examples(split, 0, random.integers(full, 1)[:, 0]).inputs
    return found if self._renamed is None else self._renamed[found]

  def _hide(
    self, random: CounterRandom, haystacks: np.ndarray, depths: np.ndarray
  ) -> tuple[np.ndarray, np.ndarray]:
    """Return tokens and which of them count, both [B, T + 1].

    Args:
      random: the random numbers of the examples.
      haystacks: [B, T] or [1, T].
      depths: depth of the first needle of each example: [B].
    """
    keys = self.keys or self._most_keys()
    needles = keys * self.values
    words = random.distinct(len(LETTERS) ** self.letters, keys)
    numbers = random.integers(10**self.digits, needles)
    at = random.uniform(needles)
    # The first needle of the key in the first question is at the given depth; all other
    # needles are at random depths.
    at[:, 0] = depths
    tokens = np.empty((random.rows, self.sequence_length + 1), np.int32)
    counts = np.zeros(tokens.shape, bool)
    for row in range(random.rows):
      names = [self._word(number) for number in words[row]]
      values = [f"{number:0{self.digits}}" for number in numbers[row]]
      haystack = haystacks[row % len(haystacks)]
      self._fill(tokens[row], counts[row], haystack, names, values, at[row])
    return tokens, counts

  def _word(self, number: int) -> str:
    """Return the word of a number, in base 26."""
    places = len(LETTERS) ** np.arange(self.letters)
    return "".join(LETTERS[int(i)] for i in number // places % len(LETTERS))

  def _fill(
    self,
    tokens: np.ndarray,
    counts: np.ndarray,
    haystack: np.ndarray,
    names: Sequence[str],
    values: Sequence[str],
    at: np.ndarray,
  ) -> None:
    """Write an example into tokens and counts [T + 1].

    Args:
      tokens: what is written.
      counts: what is written, with zeros.
      haystack: [T].
      names: the keys; the first ones are asked for.
      values: the value of each needle: needle i has the key i modulo the number of keys.
      at: depth of each needle, from 0 to 1.
    """
    encode = self.vocabulary.encode
    order = np.argsort(at, kind="stable")
    needles = [
      encode(f"{NEEDLE.format(names[i % len(names)])}{values[i]}{END}") for i in order
    ]
    pieces: list[tuple[np.ndarray, bool]] = []
    for number in range(self.queries):
      pieces.append((encode(NEEDLE.format(names[number])), False))
      own = [values[i] for i in order if i % len(names) == number]
      for place, value in enumerate(own, 1):
        pieces.append((encode(value), True))
        pieces.append((encode(AND if place < len(own) else END), False))
    pieces.pop()  # An example ends with its last answer.
    ends = sum(len(piece) for piece, _ in pieces)
    room = len(tokens) - ends - sum(map(len, needles))
    if room < 0:
      raise UserError(
        f"needle(sequence_length={self.sequence_length}): needles and questions have "
        f"{len(tokens) - room - 1:,} tokens; take that many or more."
      )
    cuts = np.round(at[order] * room).astype(int)
    parts = np.split(haystack[:room], cuts)
    woven = [piece for both in zip(parts, needles, strict=False) for piece in both]
    tokens[:] = np.concatenate([*woven, parts[-1], *(piece for piece, _ in pieces)])
    counts[len(tokens) - ends :] = np.repeat(
      [answer for _, answer in pieces], [len(piece) for piece, _ in pieces]
    )
