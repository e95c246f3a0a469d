"""Reads untrusted .npz files: runs no code, and uses no more memory than their size."""

import io
import zipfile
from typing import Any

import numpy as np


def load(content: bytes) -> Any:
  """Return the arrays of a file, read on access, as `np.load` does.

  Raises:
    ValueError: the file is not an archive of plain, uncompressed, complete arrays.
  """
  arrays = np.load(io.BytesIO(content), allow_pickle=False)
  if not isinstance(arrays, np.lib.npyio.NpzFile) or arrays.zip is None:
    raise ValueError("not an archive")
  for member in arrays.zip.infolist():
    _refuse_foreign(arrays.zip, member)
  return arrays


def _refuse_foreign(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
  """Raise `ValueError` unless a member is an array of the size that its header states."""
  if member.compress_type != zipfile.ZIP_STORED:  # Few bytes could expand to any size.
    raise ValueError(f"{member.filename} is compressed")
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
