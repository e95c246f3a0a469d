"""Any text file in UTF-8, by characters."""

import dataclasses
import functools
import os
from pathlib import Path

from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.text import Text, read_text

CRLF = "\r\n"


@register_dataset("text_file")
@dataclasses.dataclass(kw_only=True)
class TextFile(Text):
  """The text of `path`, searched for in the current folder, then in --data_dir.

  A line end "\\r\\n" is read as "\\n".
  """

  path: str  # A file in UTF-8.

  @functools.cached_property
  def _content(self) -> str:
    path = Path(self.path).expanduser()
    if not os.path.exists(path) and self.data_dir:
      path = Path(self.data_dir) / path
    return read_text(path)

  def load(self) -> str:
    return self._content.replace(CRLF, "\n")

  def described(self, batch_size: int) -> str:
    del batch_size
    count = self._content.count(CRLF)
    return f"{self.path}: {count:,} line ends \\r\\n are read as \\n" if count else ""
