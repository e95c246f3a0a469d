"""Characters as tokens (no paper)."""

import dataclasses
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

import numpy as np

from attention_lab.errors import UserError
from attention_lab.tokenizer.base.kept import CHARACTERS, packed
from attention_lab.tokenizer.base.tokenizer import Tokenizer, register_tokenizer
from attention_lab.tokenizer.base.vocabulary import (
  CharacterVocabulary,
  Document,
  code_points,
  text_of,
)


@register_tokenizer("characters")
@dataclasses.dataclass(kw_only=True)
class Characters(Tokenizer):
  """Each distinct character of the documents is a token, in the order of code points.

  A separator is the token after the last character. All splits are read for the
  characters, since one that only the validation documents have could not be encoded.
  """

  learns_from: ClassVar[str] = "all"
  fast: ClassVar[bool] = True

  def learn(
    self, documents: Callable[[], Iterable[Document]], separated: bool
  ) -> Mapping[str, bytes]:
    del separated
    found = np.zeros(sys.maxunicode + 1, bool)
    for document in documents():
      found[code_points(text_of(document))] = True
    if not found.any():
      raise UserError("There is no text to take characters from: it is empty.")
    return {CHARACTERS: packed("".join(map(chr, np.flatnonzero(found))))}

  def vocabulary(
    self, files: Mapping[str, bytes], separated: bool
  ) -> CharacterVocabulary:
    content = files[CHARACTERS].decode("utf-8", "surrogatepass")
    return CharacterVocabulary(content, separated)
