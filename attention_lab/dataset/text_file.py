"""Any text file in UTF-8, by characters."""

import dataclasses
import os
from pathlib import Path

from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.text import Text, read_text


@register_dataset("text_file")
@dataclasses.dataclass(kw_only=True)
class TextFile(Text):
  """The text of `path`, searched for in the current folder, then in --data_dir."""

  path: str  # A file in UTF-8.

  def load(self) -> str:
    path = Path(self.path).expanduser()
    if not os.path.exists(path) and self.data_dir:
      path = Path(self.data_dir) / path
    return read_text(path)
