"""Tiny Shakespeare: 1,115,394 characters of plays (karpathy/char-rnn, public domain)."""

import dataclasses
import hashlib
import os
import urllib.error
import urllib.request
from pathlib import Path

from attention_lab.dataset.base.dataset import register_dataset
from attention_lab.dataset.base.text import Text
from attention_lab.dataset.reader.raw import content_of, text_in
from attention_lab.errors import UserError
from attention_lab.system.files import make_folder, user_cache, write_file

ADDRESS = (
  "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/"
  "input.txt"
)
SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
LENGTH = 1_115_394  # Bytes: all characters are ASCII.
PLACES = ("input.txt", "tiny_shakespeare/input.txt", "tinyshakespeare/input.txt")


@register_dataset("shakespeare")
@dataclasses.dataclass(kw_only=True)
class Shakespeare(Text):
  """Tiny Shakespeare in --data_dir, or downloaded there once; its sha256 is checked."""

  def load(self) -> str:
    folder = Path(self.data_dir or default_folder()).expanduser()
    for place in PLACES:
      if os.path.isfile(folder / place):
        return _checked(folder / place)
    path = folder / PLACES[1]
    _download(path)
    return _checked(path)


def default_folder() -> Path:
  """Return the folder of downloads if --data_dir is not set."""
  return user_cache() / "data"


def _checked(path: Path) -> str:
  text = text_in(content_of(path), path)
  if hashlib.sha256(text.encode()).hexdigest() != SHA256:
    raise UserError(
      f"{path} is not Tiny Shakespeare (its sha256 differs). Remove it, or train on it "
      f"as --dataset='text(path={str(path)!r})'."
    )
  return text


def _download(path: Path) -> None:
  """Fetch the text to `path`, atomically."""
  try:
    with urllib.request.urlopen(ADDRESS, timeout=30) as answer:
      content = answer.read(LENGTH + 1)
  except (urllib.error.URLError, OSError) as error:
    reason = getattr(error, "reason", error)
    raise UserError(
      f"Tiny Shakespeare is not in {path.parent.parent} and cannot be downloaded "
      f"({reason}). Put input.txt of karpathy/char-rnn there, or name its folder with "
      f"--data_dir=..."
    ) from None
  if hashlib.sha256(content).hexdigest() != SHA256:
    raise UserError(
      f"The download from {ADDRESS} is not Tiny Shakespeare (its sha256 differs); "
      f"nothing was kept."
    )
  make_folder(path.parent, "data_dir")
  write_file(path, content)
