"""Texts in files: raw text, JSON Lines, Parquet, or a dataset that `datasets` saved."""

import dataclasses
import functools
from typing import Literal

from attention_lab.dataset.base.corpus import CRLF, LF, Corpus
from attention_lab.dataset.base.dataset import SPLITS, register_dataset
from attention_lab.dataset.base.division import Fractions
from attention_lab.dataset.base.held_text import HeldText
from attention_lab.dataset.base.rule import Rule
from attention_lab.dataset.base.text import Text
from attention_lab.dataset.base.text_store import TextStore
from attention_lab.dataset.reader import raw
from attention_lab.dataset.reader.document import Reading
from attention_lab.dataset.reader.paths import cache_root
from attention_lab.dataset.reader.source import Source, find_sources
from attention_lab.errors import UserError
from attention_lab.tokenizer.base.tokenizer import Tokenizer, tokenizers

SMALL = 1 << 23  # Most bytes of a file that is encoded at each start.


@register_dataset("text")
@dataclasses.dataclass(kw_only=True)
class TextFiles(Text):
  """The documents of files, searched for in the current folder, then in --data_dir.

  A path names a file, a folder with all files of a known format below it, or files by a
  pattern. Formats are .jsonl and .parquet, whose field is a document, .txt and any other
  file that is named itself, which is one document; .txt and .jsonl may end in .gz or .zst;
  and a folder that save_to_disk of `datasets` wrote, with its splits.

  A single document is cut: its end validates. Of several, each belongs to one split, which
  a hash of its content decides; they come in a random order, each behind a separator. In a
  text that is decoded, a line end "\\r\\n" is read as "\\n".
  """

  path: str  # A file in UTF-8, a folder, or a pattern such as 'books/**/*.txt'.
  field: str = "text"  # Field or column that holds the text.
  validation: str = ""  # Files to validate on, as path; "" for a fraction.
  test: str = ""  # Files of the split "test", as path; "" for a fraction.
  # How documents are divided: by fractions and files, or as enwik8, 90, 5 and 5 MB.
  split: Literal["fractions", "enwik8"] = "fractions"
  separators: bool | None = (
    None  # Begin each document with one; None if there are several.
  )

  def __post_init__(self) -> None:
    super().__post_init__()
    if self.split == "enwik8":
      if tokenizers.bind(self.tokenizer)().reads is not bytes:
        raise UserError("split='enwik8' counts bytes: add tokenizer='bytes'.")
      if self.validation or self.test:
        raise UserError("split='enwik8' divides one file; omit validation and test.")
    for name, default in (("validation", 0.1), ("test", 0.0)):
      share = getattr(self, f"{name}_fraction")
      if getattr(self, name) and share != default:
        raise UserError(
          f"{name}={getattr(self, name)!r} names files, and {name}_fraction={share} takes "
          f"a part of the others; omit one of the two."
        )

  @functools.cached_property
  def _sources(self) -> list[Source]:
    sources = find_sources(self.path, self.data_dir)
    for split in ("validation", "test"):
      if pattern := getattr(self, split):
        sources += find_sources(pattern, self.data_dir, split)
    return sources

  @property
  def rule(self) -> Rule:
    named = {source.split for source in self._sources}
    shares = Fractions(
      0.0 if "validation" in named else self.validation_fraction,
      0.0 if "test" in named else self.test_fraction,
    )
    return Rule(shares, self.seed, self.split == "enwik8", self.separators)

  @property
  def splits(self) -> tuple[str, ...]:
    tested = self.test or self.test_fraction or self.split == "enwik8"
    if tested or any(source.split == "test" for source in self._sources):
      return (*SPLITS, "test")
    return SPLITS

  @functools.cached_property
  def _content(self) -> bytes:
    """The content of the only file."""
    return raw.content_of(self._sources[0].path)

  def load(self) -> str:
    text = raw.text_in(self._content, self._sources[0].path)
    return text.replace(CRLF.decode(), LF.decode())

  @functools.cached_property
  def source(self) -> HeldText | TextStore:
    made: Tokenizer = tokenizers.bind(self.tokenizer)()
    decoded = made.reads is str
    if made.fast and self._is_small:
      return HeldText(self.text if decoded else self._content, made, self.rule)
    root = cache_root(self.data_dir) / "text"
    corpus = Corpus(self._sources, Reading(self.field, decoded), root)
    return TextStore(corpus, made, self.tokenizer, self.rule, root)

  @property
  def _is_small(self) -> bool:
    """Whether the text is one small file."""
    first, *others = self._sources
    return first.is_raw and not others and first.path.stat().st_size <= SMALL

  def described(self, batch_size: int) -> str:
    del batch_size
    source = self.source
    if isinstance(source, HeldText):
      decoded = isinstance(source.content, str)
      ends, left_out = self._content.count(CRLF) * decoded, 0
    else:
      ends, left_out = source.table.line_ends, source.division.left_out
    notes = [f"{ends:,} line ends \\r\\n are read as \\n"] if ends else []
    if left_out:
      notes.append(f"{left_out:,} documents that a later split has are left out")
    return f"{self.path}: {'; '.join(notes)}" if notes else ""
