"""A trained model in one safetensors file: `TrainedModel.save`, and `load` of a file."""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from attention_lab import __version__
from attention_lab import config as configs
from attention_lab.config import Config
from attention_lab.errors import UserError
from attention_lab.experiment import Experiment
from attention_lab.run import exported
from attention_lab.run.named_arrays import named_leaves, unflatten
from attention_lab.run.restore import Trained
from attention_lab.system.shape import AtLeast, OrNull, refuse_malformed

# The shape of what a file says about its parameters.
ABOUT = {
  "version": str,
  "config": dict,
  "step": AtLeast(int, 0),
  "checkpoint": str,
  "averaged": [str],
  "files": {str: str},
  "code": OrNull({str: str}),
  "data": OrNull(str),
}


class Content(NamedTuple):
  """Content of a file."""

  config: Config  # The configuration that the model was trained with.
  trained: Trained  # Parameters; in a file that was read, arrays by flat name.
  files: Mapping[str, bytes]  # Those that make the dataset usable without its data.
  code: Mapping[str, str] | None  # Hashes of the code of training.
  data: str | None  # The sha256 of the data.


def write(path: Path, content: Content) -> Path:
  """Write a file, and return its path; errors are those of `exported.write`."""
  config, trained, files, code, data = content
  about = {
    "version": __version__,
    "config": config.to_dict(),
    "step": trained.step,
    "checkpoint": trained.path.name,
    "averaged": [each.name for each in trained.averaged],
    "files": {name: base64.b64encode(x).decode() for name, x in files.items()},
    "code": None if code is None else dict(code),
    "data": data,
  }
  arrays = {name: np.asarray(array) for name, array in _flat(trained.params).items()}
  exported.write(path, arrays, about)
  return path


def read(path: Path) -> Content:
  """Return what a file holds.

  Raises:
    UserError: it holds no model, or is damaged.
  """
  arrays, about = exported.read(path)
  refuse_malformed(path, about, ABOUT)
  trained = Trained(
    arrays,
    about["step"],
    Path(about["checkpoint"]),
    tuple(map(Path, about["averaged"])),
  )
  config = configs.from_stored(about["config"], path)
  files = {name: _decoded(path, name, x) for name, x in about["files"].items()}
  return Content(config, trained, files, about["code"], about["data"])


def nested(experiment: Experiment, arrays: Mapping[str, Any], path: Path) -> Any:
  """Return arrays by flat name as the parameters of a model: module → name → array.

  Args:
    experiment: the model.
    arrays: the arrays.
    path: their file, for messages.

  Raises:
    UserError: they are of another model.
  """
  like = jax.eval_shape(lambda: experiment.init(0))
  flat = unflatten(_flat(like), dict(named_leaves(arrays)), path, "")
  return {
    module: {name: flat[f"{module}/{name}"] for name in names}
    for module, names in like.items()
  }


def _flat(params: Any) -> dict[str, Any]:
  """Return Haiku's parameters by flat name: "module/name" → array."""
  return {
    f"{module}/{name}": array
    for module, names in params.items()
    for name, array in names.items()
  }


def _decoded(path: Path, name: str, text: str) -> bytes:
  try:
    return base64.b64decode(text, validate=True)
  except binascii.Error as error:
    raise UserError(f"{path}: files.{name} is not base64: {error}.") from None
