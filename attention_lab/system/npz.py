"""Reads untrusted .npz files: runs no code, and uses no more memory than is allowed."""

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np

# What reading an archive raises, besides `ValueError`, if its bytes are not as they
# should be: unknown compressions, passwords, numbers of bytes that do not exist.
_DAMAGED = (
  *(zipfile.BadZipFile, EOFError, NotImplementedError, OverflowError),
  *(RuntimeError, SyntaxError, TypeError, MemoryError, struct.error, zlib.error),
)


def load(content: bytes, expands_to: int = 0) -> Any:
  """Return the arrays of a file, read on access, as `np.load` does.

  Args:
    content: the file.
    expands_to: most bytes of compressed arrays; 0 for a file that may have none.

  Raises:
    ValueError: the file is not an archive of plain, complete arrays of this size.
  """
  try:
    arrays = np.load(io.BytesIO(content), allow_pickle=False)
    if not isinstance(arrays, np.lib.npyio.NpzFile) or arrays.zip is None:
      raise ValueError("not an archive")
    _refuse_expanding(arrays.zip, expands_to)
    for member in arrays.zip.infolist():
      _refuse_foreign(arrays.zip, member)
    if (damaged := arrays.zip.testzip()) is not None:
      raise ValueError(f"{damaged} is damaged")
  except _DAMAGED as error:
    raise ValueError(str(error)) from None
  return arrays


def _refuse_expanding(archive: zipfile.ZipFile, most: int) -> None:
  """Raise `ValueError` if compressed members expand to more than `most` bytes.

  The size that an archive states is not exceeded when a member is read.
  """
  compressed = [m for m in archive.infolist() if m.compress_type != zipfile.ZIP_STORED]
  if compressed and sum(member.file_size for member in compressed) > most:
    raise ValueError(f"{compressed[0].filename} is compressed")


def _refuse_foreign(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
  """Raise `ValueError` unless a member is an array of the size that its header states."""
  with archive.open(member) as file:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0
    if version != (1, 0):
      read = np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if dtype.hasobject:
      raise ValueError(f"{member.filename} holds Python objects")
    size = dtype.itemsize
    for length in shape:
      size *= length
    if file.tell() + size != member.file_size:
      raise ValueError(f"{member.filename} has another size than its header states")
