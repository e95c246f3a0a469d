"""A text as examples: windows of characters, each to predict the next one."""

import abc
import dataclasses
import functools
import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from attention_lab.dataset.base.kept import MARK, PROMPT
from attention_lab.dataset.base.paths import unreadable
from attention_lab.dataset.base.windows import Windows
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.kept import CHARACTERS, packed, unpacked
from attention_lab.tokenizer.base.vocabulary import CharacterVocabulary

MOST_UNKNOWN = 20  # Most characters that a message lists.


@dataclasses.dataclass(kw_only=True)
class Text(Windows):
  """The first part of a text to train on, the last to validate on.

  A run keeps the vocabulary and the default prompt.
  """

  validation_fraction: float = 0.1  # Share of the text, at its end.

  @abc.abstractmethod
  def load(self) -> str:
    """Return the text."""

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
  def vocabulary(self) -> CharacterVocabulary:
    known = unpacked(self.kept, CHARACTERS)
    return (
      CharacterVocabulary.of(self.text) if known is None else CharacterVocabulary(known)
    )

  @functools.cached_property
  def fingerprint(self) -> str:
    return hashlib.sha256(packed(self.text)).hexdigest()

  @functools.cached_property
  def _splits(self) -> dict[str, np.ndarray]:
    if not 0 < self.validation_fraction < 1:
      raise UserError(
        f"validation_fraction={self.validation_fraction}: take a share between 0 and 1."
      )
    tokens = self.vocabulary.encode(self.text)
    cut = int(len(tokens) * (1 - self.validation_fraction))
    splits = {"train": tokens[:cut], "validation": tokens[cut:]}
    if len(splits["train"]) <= self.sequence_length or len(splits["validation"]) < 2:
      raise UserError(
        f"{len(tokens)} characters with validation_fraction={self.validation_fraction} "
        f"leave too few for windows of {self.sequence_length}; lower sequence_length."
      )
    return splits

  def files(self) -> Mapping[str, bytes]:
    files = {PROMPT: packed(self.prompt())}
    if isinstance(self.vocabulary, CharacterVocabulary):  # A plugin may have another.
      files[CHARACTERS] = packed(self.vocabulary.characters)
    return files

  def prompt(self) -> str:
    kept = unpacked(self.kept, PROMPT)
    return super().prompt() if kept is None else kept

  @property
  def characters_per_token(self) -> float:
    return 1.0

  def length(self, split: str) -> int:
    return len(self._splits[split])

  def windows(self, split: str, starts: np.ndarray) -> np.ndarray:
    at = starts[:, None] + np.arange(self.sequence_length + 1)
    return self._splits[split].take(at, mode="clip")


def read_text(path: Path) -> str:
  """Return the text of a UTF-8 file without a byte-order mark at its start.

  Raises:
    UserError: the file cannot be read.
  """
  try:
    if os.path.exists(path) and stat.S_ISCHR(path.stat().st_mode):
      raise UserError(f"{path} is a device, not a file.")  # Reading one may never end.
    return path.read_bytes().decode("utf-8").removeprefix(MARK)
  except UnicodeDecodeError as error:
    raise UserError(f"{path} is not UTF-8 text (byte {error.start}).") from None
  except ValueError:
    raise UserError(f"{str(path)!r} is no path.") from None
  except OSError as error:
    raise unreadable(path, error) from None
