"""Files of tokenizers that the user names."""

import os
from pathlib import Path

from attention_lab.errors import UserError, nearest


def read_file(spec: str, name: str = "") -> bytes:
  """Return the content of a tokenizer's file.

  Args:
    spec: the path as the user gave it; it starts at the current folder.
    name: the name of the file if the path is that of a folder; "" if it may not be.

  Raises:
    UserError: there is no such file, or it cannot be read.
  """
  path = Path(spec).expanduser()
  try:
    if name and path.is_dir():
      path /= name
    if os.path.exists(path) and not path.is_file():  # Reading a device may never end.
      raise UserError(f"The tokenizer's path {path} is not that of a file.")
    return path.read_bytes()
  except FileNotFoundError:
    others = sorted(map(str, path.parent.glob(f"*{path.suffix}")))[:1000]
    hint = nearest(str(path), others, "Paths start at the current folder.")
    raise UserError(f"The tokenizer's file {path} does not exist. {hint}") from None
  except OSError as error:
    raise UserError(
      f"Cannot read the tokenizer's file {path}: {error.strerror}."
    ) from None
  except ValueError:  # A null character.
    raise UserError(f"{spec!r} is no path.") from None
