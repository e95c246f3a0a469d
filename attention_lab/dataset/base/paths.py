"""Paths of data that the user names."""

from pathlib import Path

from attention_lab.errors import UserError


def unreadable(path: Path, error: OSError) -> UserError:
  """Return the error of a file that cannot be read."""
  return UserError(
    f"Cannot read {path}: {error.strerror}. Paths start at the current folder or at "
    f"--data_dir."
  )
