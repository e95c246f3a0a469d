"""The files that a path, a folder or a pattern names, and the reader of each."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab.dataset.reader import arrow, json_lines, raw
from attention_lab.dataset.reader.document import Document, Reading
from attention_lab.dataset.reader.paths import (
  files_below,
  find_files,
  refuse_irregular,
)
from attention_lab.errors import UserError

# Readers by the end of a file's name. A file that is named itself and ends in none of them
# is raw text.
READERS: dict[str, Callable[[Path, Reading], Iterator[Document]]] = {
  ".txt": raw.read,
  ".txt.gz": raw.read,
  ".txt.zst": raw.read,
  ".jsonl": json_lines.read,
  ".jsonl.gz": json_lines.read,
  ".jsonl.zst": json_lines.read,
  ".parquet": arrow.read_parquet,
}
ARROW = ".arrow"  # Of the files in a folder that `datasets.save_to_disk` wrote.
PACKED = (".zip", ".tar", ".tgz", ".tar.gz", ".xz", ".bz2", ".7z")
# What `datasets.save_to_disk` writes: the files of a dataset, and the names of several.
STATE, SEVERAL = "state.json", "dataset_dict.json"
# The splits of a saved dataset, by the names that are usual.
SPLIT_NAMES = {
  "train": "train",
  "validation": "validation",
  "valid": "validation",
  "val": "validation",
  "dev": "validation",
  "test": "test",
}


class Source(NamedTuple):
  """A file of documents."""

  path: Path
  split: str  # The split of its documents; "" if they are divided.

  def documents(self, reading: Reading) -> Iterator[Document]:
    """Yield the documents of the file."""
    return self._reader(self.path, reading)

  @property
  def _reader(self) -> Callable[[Path, Reading], Iterator[Document]]:
    name = self.path.name
    if name.endswith(ARROW):
      return arrow.read_stream
    suffix = max((end for end in READERS if name.endswith(end)), key=len, default="")
    return READERS.get(suffix, raw.read)

  @property
  def is_raw(self) -> bool:
    """Whether it is a file of raw text that is not compressed."""
    return self._reader is raw.read and self.path.suffix not in (".gz", ".zst")


def find_sources(pattern: str, data_dir: str, split: str = "") -> list[Source]:
  """Return the files that a path, a folder or a pattern names, in order.

  Args:
    pattern: the path or the pattern. Of a folder, all files below it whose format is
      known; or the dataset that `datasets.save_to_disk` wrote there.
    data_dir: folder to search if the current one has no such file; "" for none.
    split: the split of their documents; "" if they are divided, or if a saved dataset
      names their splits.

  Raises:
    UserError: there is none, or one is no regular file.
  """
  sources: list[Source] = []
  for path in find_files(pattern, data_dir):
    if os.path.isdir(path):
      sources += _of_folder(path, split)
    else:
      sources.append(Source(path, split))
  for source in sources:
    status = refuse_irregular(source.path)
    if source.path.name.endswith(PACKED):
      raise UserError(f"{source.path} is an archive or compressed; unpack it.")
    if not status.st_size and len(sources) == 1:
      raise UserError(f"{source.path} is empty.")
  return sources


def _of_folder(folder: Path, split: str) -> list[Source]:
  if os.path.exists(folder / SEVERAL):
    return _of_splits(folder, split)
  if os.path.exists(folder / STATE):
    return [Source(path, split) for path in _saved_files(folder)]
  found = [Source(path, split) for path in files_below(folder, tuple(READERS))]
  if not found:
    raise UserError(
      f"The folder {folder} has no file whose name ends in {', '.join(READERS)}, and is "
      f"no dataset that save_to_disk wrote."
    )
  return found


def _of_splits(folder: Path, split: str) -> list[Source]:
  """Return the files of a `DatasetDict`, each with its split."""
  names = _field(folder / SEVERAL, "splits")
  if split:
    raise UserError(
      f"{folder} holds the splits {', '.join(names)}; name the folder of one of them."
    )
  known = {name: SPLIT_NAMES[name] for name in names if name in SPLIT_NAMES}
  if "train" not in known:
    raise UserError(f"{folder} has no split 'train', only {', '.join(names)}.")
  divided = "validation" not in known.values()
  sources = []
  for name, usual in known.items():
    own = "" if divided and usual == "train" else usual
    sources += [Source(path, own) for path in _saved_files(folder / name)]
  return sources


def _saved_files(folder: Path) -> Iterator[Path]:
  """Yield the Arrow files of a saved dataset."""
  for file in _field(folder / STATE, "_data_files"):
    if not isinstance(file, dict) or not isinstance(file.get("filename"), str):
      raise UserError(f"{folder / STATE} names no files: {file!r}.")
    yield folder / file["filename"]


def _field(path: Path, name: str) -> list[Any]:
  """Return a list in a file that `datasets` wrote."""
  try:
    found = json.loads(path.read_bytes())[name]
  except (OSError, ValueError, LookupError, TypeError):
    found = None
  if not isinstance(found, list):
    raise UserError(f"{path} is not as save_to_disk of `datasets` writes it.")
  return found
