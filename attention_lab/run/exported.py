"""Parameters in one file that other tools read: safetensors, with what describes them.

The metadata has two texts: `attention_lab`, a JSON object, and `sha256`, that of this
object and of all arrays. Nothing is unpickled.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from attention_lab.errors import UserError, not_installed
from attention_lab.system.files import (
  finite_or_named,
  parse_json,
  write_file,
  writing,
)
from attention_lab.system.regular import read_regular

SUFFIX = ".safetensors"
ABOUT, DIGEST = "attention_lab", "sha256"  # Names of the texts of the metadata.
LARGEST = 2**26  # Bytes of a file's header, which holds the metadata.
LENGTH = 8  # Bytes of the header's length, with which a file begins.
ANOTHER = "Name another file."


def write(
  path: Path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]
) -> None:
  """Write arrays, and what describes them, to a file; a link there is replaced.

  Args:
    path: the file, whose name ends in ".safetensors".
    arrays: the arrays by name.
    about: values of JSON.

  Raises:
    UserError: safetensors is missing, the name ends otherwise, the description is too
      large, or the file cannot be written.
  """
  numpy = _library()
  if path.suffix != SUFFIX:
    raise UserError(f"{path}: name a file that ends in {SUFFIX}.")
  text = json.dumps(finite_or_named(about), allow_nan=False)
  if len(text) > LARGEST // 2:  # It is escaped in the header.
    raise UserError(
      f"{path} would hold {len(text):,} bytes besides the parameters, more than "
      f"{LARGEST // 2:,}: the dataset keeps files that are too large to export."
    )
  arrays = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
  content = numpy.save(arrays, {ABOUT: text, DIGEST: _digest(text, arrays)})
  with writing(path, ANOTHER):
    write_file(path, content)


def read(path: Path) -> tuple[dict[str, np.ndarray], Any]:
  """Return the arrays of a file by name, and what describes them, as they were written.

  Args:
    path: the file; a link that leads to it is followed, since the user named it.

  Raises:
    UserError: safetensors is missing, or the file is not one that `write` has written.
  """
  numpy = _library()
  try:
    content = read_regular(path.resolve())
  except OSError as error:
    raise UserError(f"Cannot read {path}: {error.strerror}. {ANOTHER}") from None
  try:
    metadata = _metadata(content)
    arrays: dict[str, np.ndarray] = numpy.load(content)
  except Exception as error:  # Also what safetensors raises, of a type of its own.
    cause = str(error) or type(error).__name__
    raise UserError(
      f"{path} is not a complete safetensors file ({cause}). {ANOTHER}"
    ) from None
  text = metadata.get(ABOUT)
  if text is None:
    raise UserError(
      f"{path} holds no model of attention_lab: its metadata has no {ABOUT!r}. Write one "
      f"with TrainedModel.save."
    )
  if metadata.get(DIGEST) != _digest(text, arrays):
    raise UserError(
      f"{path} is damaged: its content has another sha256 than its metadata states. "
      f"Export the model again."
    )
  try:
    return arrays, parse_json(text.encode())
  except ValueError as error:
    raise UserError(f"{path}: its {ABOUT!r} is not JSON: {error}.") from None


def _metadata(content: bytes) -> dict[str, str]:
  """Return the texts of a file's metadata; raise `ValueError` if its header is damaged."""
  size = int.from_bytes(content[:LENGTH], "little")
  if size > LARGEST:
    raise ValueError(f"its header is larger than {LARGEST:,} bytes")
  if not 0 < size <= len(content) - LENGTH:
    raise ValueError("it is cut off")
  header = parse_json(content[LENGTH : LENGTH + size])
  found = header.get("__metadata__", {}) if isinstance(header, dict) else None
  if not isinstance(found, dict) or not all(isinstance(x, str) for x in found.values()):
    raise ValueError("its metadata are not texts by name")
  return found


def _digest(text: str, arrays: Mapping[str, np.ndarray]) -> str:
  """Return the sha256 of the description and of all arrays, in hex."""
  found = hashlib.sha256(text.encode())
  for name, array in sorted(arrays.items()):
    found.update(f"\n{name} {array.dtype} {array.shape}\n".encode())
    found.update(array.tobytes())
  return found.hexdigest()


def _library() -> Any:
  try:
    from safetensors import numpy
  except ImportError:
    raise not_installed("An exported model", "export", "safetensors") from None
  return numpy
