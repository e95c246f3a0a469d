"""A text of files or in memory as token files: scanned, divided, learned from, encoded."""

import functools
import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from attention_lab.dataset.base import progress
from attention_lab.dataset.base.corpus import Corpus, LoadedCorpus, Table, scan
from attention_lab.dataset.base.digests import (
  DIGESTS,
  damaged,
  refuse_damaged,
  write_digests,
)
from attention_lab.dataset.base.division import Division, pieces
from attention_lab.dataset.base.encoder import Encoding
from attention_lab.dataset.base.prepared import Prepared, Work, prepared
from attention_lab.dataset.base.rule import Rule
from attention_lab.system.files import made_once, write_atomically, write_file
from attention_lab.tokenizer.base.tokenizer import TextVocabulary, Tokenizer
from attention_lab.tokenizer.base.vocabulary import Document, Vocabulary

FORMAT = 1  # Version of the files; another number makes new ones.
TABLE = "documents.npz"


class TextStore:
  """The tokens of a text in files.

  Args:
    corpus: its documents.
    tokenizer: the tokenizer.
    spec: the tokenizer's name and options.
    rule: how documents are divided.
    root: folder of the files.
  """

  def __init__(
    self,
    corpus: Corpus | LoadedCorpus,
    tokenizer: Tokenizer,
    spec: str,
    rule: Rule,
    root: Path,
  ):
    self.corpus, self.rule, self.root = corpus, rule, root
    self._tokenizer, self._spec = tokenizer, spec

  @functools.cached_property
  def table(self) -> Table:
    """Facts of each document; every document is read if no file holds them."""
    path = self._folder("documents", *self.corpus.recipe) / TABLE

    def make(path: Path) -> None:
      with progress.shown(f"Reading {self.corpus.name}", 0) as advance:
        table = scan(self.corpus, advance)
      arrays: dict[str, Any] = table._asdict()
      write_atomically(
        path.parent, lambda file: np.savez(file, **arrays), lambda _: TABLE
      )

    made_once(path, make, "data_dir")
    try:
      with np.load(path, allow_pickle=False) as found:
        table = Table(**found)
      return table._replace(line_ends=int(table.line_ends), sha256=str(table.sha256))
    except (ValueError, OSError, EOFError, TypeError):
      raise damaged(path.parent) from None

  @functools.cached_property
  def division(self) -> Division:
    """The texts of each split."""
    return self.rule.of(self.table)

  @property
  def fingerprint(self) -> str:
    """The sha256 of the documents and of what divides them into files."""
    return self.table.sha256

  @property
  def separated(self) -> bool:
    """Whether each text has a separator in front."""
    chosen = self.rule.separators
    return self.division.separated if chosen is None else chosen

  def learned(self) -> Mapping[str, bytes]:
    """Return the files of the tokenizer; it learns if no file holds what it has learnt."""
    source = self._tokenizer.learns_from
    if source == "none":
      return self._tokenizer.learn(lambda: (), self.separated)
    recipe = (*self.corpus.recipe, self._spec, *(self.rule if source != "all" else ()))
    folder = self._folder("vocabulary", *recipe, self.separated)

    def make(path: Path) -> None:
      found = self._tokenizer.learn(lambda: self._documents(source), self.separated)
      for name, content in found.items():
        write_file(path.parent / name, content)
      write_digests(path.parent, list(found))

    made_once(folder / DIGESTS, make, "data_dir")
    names = [x.name for x in folder.iterdir() if x.name[0] != "." and x.name != DIGESTS]
    refuse_damaged(folder, names)
    return {name: (folder / name).read_bytes() for name in sorted(names)}

  def _documents(self, source: str) -> Iterator[Document]:
    """Yield the pieces that a tokenizer learns from."""
    used = np.zeros(len(self.table.keys) + len(self.division.ends), bool)
    for split, texts in self.division.order.items():
      used[texts] = source == "all" or split == "train"
    for piece in pieces(self.corpus, self.division):
      if used[piece.text]:
        content = piece.content
        yield content.decode() if self._tokenizer.reads is str else content

  def tokens(self, vocabulary: Vocabulary, files: Mapping[str, bytes]) -> Prepared:
    """Return the token files of a vocabulary.

    Args:
      vocabulary: the vocabulary.
      files: the files that it is made of.
    """
    contents = [(name, hashlib.sha256(x).hexdigest()) for name, x in files.items()]
    own = (self.rule, self.separated, self._spec, sorted(contents))
    dtype = np.min_scalar_type(vocabulary.size - 1).name
    separating = cast(TextVocabulary, vocabulary)
    work = Work(
      pieces=lambda: pieces(self.corpus, self.division),
      order=self.division.order,
      encoding=Encoding(separating, self._tokenizer.reads is str, dtype),
      separator=separating.separator if self.separated else None,
      total=int(self.table.sizes.sum()),
      name=self.corpus.name,
    )
    return prepared(self._folder("tokens", *self.corpus.recipe, *own), work)

  def _folder(self, kind: str, *recipe: object) -> Path:
    key = hashlib.sha256(repr((FORMAT, *recipe)).encode()).hexdigest()
    return self.root / kind / key[:32]
