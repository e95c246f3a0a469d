"""Contract of a tokenizer: documents as tokens, and tokens as text."""

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np

from attention_lab.plugin.contract import Contract
from attention_lab.plugin.registry import Registry
from attention_lab.tokenizer.base.vocabulary import Document, Vocabulary


class TextVocabulary(Vocabulary, Protocol):
  """Vocabulary of a text that is a sequence of documents.

  `vocabulary.separator_of` and `vocabulary.token_bytes_of` read it of any vocabulary.
  """

  @property
  def separator(self) -> int | None:
    """The token in front of each document; None if the text is one document."""

  @property
  def token_bytes(self) -> np.ndarray | None:
    """Bytes of the original text that each token stands for: int32 [V], 0 for separators.

    None if bytes cannot be assigned to tokens, because the tokenizer changes the text.
    """

  def encode_documents(self, documents: Sequence[Document]) -> list[np.ndarray]:
    """Return the tokens of each document, integers [length], without separators."""


@dataclasses.dataclass(kw_only=True)
class Tokenizer(abc.ABC):
  """Makes a vocabulary of documents. Fields are options.

  What a vocabulary is made of is stored as files, by name, in the run and in every
  checkpoint: `vocabulary(learn(documents), separated)` equals the vocabulary of a later
  process, which reads these files and no documents.
  """

  # Type of the documents: str, or bytes as they are stored.
  reads: ClassVar[type] = str

  # The documents that `learn` reads: those of the training split; "all", if it could not
  # encode a symbol that it has not met; or "none", if it reads none, but perhaps a file
  # that an option names.
  learns_from: ClassVar[str] = "training"

  # Whether a text of some megabytes is learned from and encoded in less than a second.
  # Each start does both then; other tokens are written to files, once.
  fast: ClassVar[bool] = False

  @abc.abstractmethod
  def learn(
    self, documents: Callable[[], Iterable[Document]], separated: bool
  ) -> Mapping[str, bytes]:
    """Return the files that make a vocabulary: a pure function of the documents.

    Args:
      documents: returns the documents of `learns_from`, as often as it is called; of a
        long document, consecutive pieces of about a megabyte, cut in front of line ends.
      separated: whether the vocabulary needs a separator.

    Raises:
      UserError: the options do not fit the documents, or a file cannot be read.
    """

  @abc.abstractmethod
  def vocabulary(self, files: Mapping[str, bytes], separated: bool) -> TextVocabulary:
    """Return the vocabulary that files of `learn` make."""


CONTRACT = Contract(Tokenizer)
tokenizers = Registry("tokenizer", CONTRACT, ())
register_tokenizer = tokenizers.register
