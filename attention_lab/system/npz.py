"""Reads anybody's .npz files: runs no code, takes no more memory than their size."""

import io
import zipfile
from typing import Any

import numpy as np


def load(content: bytes) -> Any:
  """The arrays of a file, read when they are asked for, as `np.load` gives them.

  Raises:
    ValueError: it is no archive of plain arrays that lie there uncompressed and whole.
  """
  arrays = np.load(io.BytesIO(content), allow_pickle=False)
  if not isinstance(arrays, np.lib.npyio.NpzFile) or arrays.zip is None:
    raise ValueError("no archive")
  for member in arrays.zip.infolist():
    _refuse_foreign(arrays.zip, member)
  return arrays


def _refuse_foreign(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
  """Raises ValueError unless a member is an array that is as large as it says."""
  if member.compress_type != zipfile.ZIP_STORED:  # A few bytes could be any number.
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
      raise ValueError(f"{member.filename} is not as large as it says")
