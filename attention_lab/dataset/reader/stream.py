"""Files as blocks of bytes, decompressed if their names end in .gz or .zst."""

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from attention_lab.dataset.reader.paths import unreadable
from attention_lab.errors import UserError, not_installed

BLOCK = 1 << 18  # Bytes read at a time.


def blocks_of(path: Path) -> Iterator[bytes]:
  """Yield the content of a file.

  Raises:
    UserError: the file cannot be read, is damaged, or ends too early.
  """
  try:
    with open(path, "rb") as file:
      blocks = iter(lambda: file.read(BLOCK), b"")
      if path.suffix == ".gz":
        yield from _decompressed(
          path, blocks, lambda: zlib.decompressobj(31), zlib.error
        )
      elif path.suffix == ".zst":
        library = _zstandard(path)
        new = library.ZstdDecompressor().decompressobj
        yield from _decompressed(path, blocks, new, library.ZstdError)
      else:
        yield from blocks
  except OSError as error:
    raise unreadable(path, error) from None


def _decompressed(
  path: Path,
  blocks: Iterator[bytes],
  new: Callable[[], Any],
  damaged: type[Exception],
) -> Iterator[bytes]:
  """Yield what blocks decompress to; a file may be several compressed ones, joined."""
  stream = None
  try:
    for block in blocks:
      rest = block
      while rest:
        stream = stream or new()
        yield stream.decompress(rest)
        rest = stream.unused_data if stream.eof else b""
        stream = None if stream.eof else stream
  except damaged as error:
    raise UserError(f"{path} is not a whole {path.suffix} file: {error}.") from None
  if stream is not None:
    raise UserError(f"{path} is truncated: its compressed content has no end.")


def _zstandard(path: Path) -> Any:
  try:
    import zstandard
  except ImportError:
    raise not_installed(str(path), "text", "zstandard") from None
  return zstandard
