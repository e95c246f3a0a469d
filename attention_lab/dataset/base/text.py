"""A text as examples: windows of tokens, each to predict the next one."""

import abc
import dataclasses
import functools
from collections.abc import Mapping

import numpy as np

from attention_lab.dataset.base.corpus import LoadedCorpus
from attention_lab.dataset.base.dataset import SPLITS
from attention_lab.dataset.base.division import Fractions
from attention_lab.dataset.base.held_text import HeldText
from attention_lab.dataset.base.kept import PROMPT
from attention_lab.dataset.base.prepared import Prepared
from attention_lab.dataset.base.rule import Rule
from attention_lab.dataset.base.text_store import TextStore
from attention_lab.dataset.base.windows import Windows, first_text
from attention_lab.dataset.reader.paths import cache_root
from attention_lab.errors import UserError
from attention_lab.plugin import spec as specs
from attention_lab.tokenizer.base.kept import CHARACTERS, packed, unpacked
from attention_lab.tokenizer.base.tokenizer import Tokenizer, tokenizers
from attention_lab.tokenizer.base.vocabulary import Vocabulary, separator_of

MOST_UNKNOWN = 20  # Most characters that a message lists.
# What a run keeps beside the files of its tokenizer: the tokenizer with its options, if it
# is not "characters"; and a file that exists if documents have separators.
TOKENIZER, SEPARATED = "tokenizer.txt", "separated.txt"


@dataclasses.dataclass(kw_only=True)
class Text(Windows):
  """The first part of a text to train on, the last to validate on.

  A run keeps what its tokens stand for and the default prompt. A text is encoded at each
  start if that is quick; otherwise its tokens are written to files, once.
  """

  tokenizer: str = "characters"  # What a token is, with options.
  validation_fraction: float = 0.1  # Share to validate on: the end of the text.
  test_fraction: float = 0.0  # Share of the split "test", behind it.

  def __post_init__(self) -> None:
    super().__post_init__()
    rest = 1 - self.validation_fraction - self.test_fraction
    if not 0 < self.validation_fraction < 1:
      raise UserError(
        f"validation_fraction={self.validation_fraction}: take a share between 0 and 1."
      )
    if self.test_fraction < 0 or rest <= 0:
      raise UserError(
        f"test_fraction={self.test_fraction}: take a share from 0 to below "
        f"{1 - self.validation_fraction:g}, what validation_fraction leaves."
      )

  @abc.abstractmethod
  def load(self) -> str:
    """Return the text."""

  @property
  def rule(self) -> Rule:
    """The options that divide the text."""
    return Rule(Fractions(self.validation_fraction, self.test_fraction), self.seed)

  @functools.cached_property
  def text(self) -> str:
    """The text, read once.

    Raises:
      UserError: there is too little to train on, or the text has characters that the
        run's vocabulary lacks.
    """
    text = self.load()
    if len(set(text)) < 2:
      raise UserError(
        "The text has fewer than 2 distinct characters: nothing to learn."
      )
    known = unpacked(self.kept, CHARACTERS)
    if known is not None and (unknown := sorted(set(text) - set(known))):
      raise UserError(
        f"The data has characters that this run was not trained on: "
        f"{''.join(unknown[:MOST_UNKNOWN])!r}{' and more' * (len(unknown) > MOST_UNKNOWN)}."
        f" Restore the data of the run, or name another --workdir."
      )
    return text

  @functools.cached_property
  def source(self) -> HeldText | TextStore:
    """The text before it is encoded, and the means to do it."""
    made: Tokenizer = tokenizers.bind(self.tokenizer)()
    if made.fast:
      content = self.text if made.reads is str else packed(self.text)
      return HeldText(content, made, self.rule)
    corpus = LoadedCorpus(lambda: packed(self.text), type(self).__name__)
    return TextStore(
      corpus, made, self.tokenizer, self.rule, cache_root(self.data_dir) / "text"
    )

  @functools.cached_property
  def vocabulary(self) -> Vocabulary:
    tokenizer: Tokenizer = tokenizers.bind(self.tokenizer)()
    files = kept_tokenizer(self.kept, self.tokenizer)
    if files is not None:
      return tokenizer.vocabulary(files, SEPARATED in self.kept)
    return tokenizer.vocabulary(self._learned, self.source.separated)

  @functools.cached_property
  def _learned(self) -> Mapping[str, bytes]:
    """The files of the tokenizer."""
    kept = kept_tokenizer(self.kept, self.tokenizer)
    return self.source.learned() if kept is None else kept

  @property
  def fingerprint(self) -> str:
    return self.source.fingerprint

  @functools.cached_property
  def encoded(self) -> Prepared:
    """The tokens of each split.

    Raises:
      UserError: a split has too few, or they cannot be made.
    """
    files = self._learned if _is_own(self) else {}
    found = self.source.tokens(self.vocabulary, files)
    for split in self.splits:
      least = self.sequence_length + 1 if split == "train" else 2
      if split not in found.splits or len(found.splits[split]) < least:
        raise _too_few(found, split, self.sequence_length)
    return found

  @property
  def splits(self) -> tuple[str, ...]:
    return (*SPLITS, "test") if self.test_fraction else SPLITS

  def files(self) -> Mapping[str, bytes]:
    files = {PROMPT: packed(self.prompt())}
    if not _is_own(self):
      return files
    return files | kept_files(self.tokenizer, self.vocabulary, self._learned)

  def prompt(self) -> str:
    kept = unpacked(self.kept, PROMPT)
    return first_text(self) if kept is None else kept

  def bytes_per_token(self, split: str) -> float:
    facts = self.encoded.facts[split]
    return facts.bytes / facts.tokens

  def length(self, split: str) -> int:
    return len(self.encoded.splits[split])

  def windows(self, split: str, starts: np.ndarray) -> np.ndarray:
    return self.encoded.splits[split].take(starts, self.sequence_length + 1)


def _is_own(dataset: Text) -> bool:
  """Return whether the vocabulary is the tokenizer's, not one that a plugin defines."""
  return type(dataset).vocabulary is Text.vocabulary


def kept_files(
  tokenizer: str, vocabulary: Vocabulary, learned: Mapping[str, bytes]
) -> dict[str, bytes]:
  """Return the files that a run keeps of a tokenizer: its spec, and those it is made of."""
  files = dict(learned)
  if tokenizer != "characters":
    files[TOKENIZER] = packed(tokenizer)
  if separator_of(vocabulary) is not None:
    files[SEPARATED] = b"yes\n"
  return files


def kept_tokenizer(
  kept: Mapping[str, bytes], tokenizer: str
) -> Mapping[str, bytes] | None:
  """Return the files of the tokenizer that a run keeps; None if it keeps none.

  Raises:
    UserError: it is another tokenizer.
  """
  if TOKENIZER not in kept and CHARACTERS not in kept:
    return None
  trained = unpacked(kept, TOKENIZER) or "characters"
  # A run keeps the files that an option `path` names.
  one, other = (specs.parse(text) for text in (trained, tokenizer))
  for spec in (one, other):
    spec.options.pop("path", None)
  if one != other:
    raise UserError(
      f"The run was trained with tokenizer={trained!r}, and the data is to be read with "
      f"tokenizer={tokenizer!r}: its tokens would be others. Write the first."
    )
  ours = (PROMPT, TOKENIZER, SEPARATED)
  return {name: content for name, content in kept.items() if name not in ours}


def _too_few(found: Prepared, split: str, sequence_length: int) -> UserError:
  """Return the error of a split that is too short, or has no document."""
  count = len(found.splits[split]) if split in found.splits else 0
  return UserError(
    f"{split} has {count:,} tokens, too few for windows of {sequence_length}. Use more "
    f"text or other fractions, or lower sequence_length."
  )
