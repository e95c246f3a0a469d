"""Text as the content of a file that a run keeps."""

from collections.abc import Mapping

CHARACTERS = "characters.txt"  # The vocabulary of a text: every character once, sorted.


def packed(text: str) -> bytes:
  """Return a text as the content of a file."""
  return text.encode("utf-8", "surrogatepass")


def unpacked(kept: Mapping[str, bytes], name: str) -> str | None:
  """Return the text of a file that a run keeps; None if it does not keep it."""
  return kept[name].decode("utf-8", "surrogatepass") if name in kept else None
