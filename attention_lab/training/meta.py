"""The shape of the meta data that a run stores in its checkpoints beside the state."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_lab.errors import UserError
from attention_lab.run.metrics_file import unpack
from attention_lab.system.shape import AtLeast, Only, OrNull, refuse_malformed
from attention_lab.training.loss_monitor import LossMonitor

_COUNT = AtLeast(int, 0)
_MONITOR = {
  f"{field.name}?": {float: float, int: _COUNT, bool: bool}[type(field.default)]  # type: ignore[index]
  for field in dataclasses.fields(LossMonitor)
}
# Earlier versions lack some fields.
SHAPE = {
  "identity?": {"settings": dict, "code": {str: str}, "data": str, "step": _COUNT},
  "window": ([float], [float], [float], [float]),
  "validation?": OrNull({str: float}),
  "validation_loss?": OrNull(float),
  "validated?": OrNull((_COUNT, _COUNT)),
  "health?": Only(_MONITOR | {"variance?": AtLeast(float, 0)}),
  "journal": str,
  "seconds": AtLeast(float, 0),
  "training_seconds": AtLeast(float, 0),
}


def refuse_malformed_meta(path: Path, meta: Mapping[str, Any]) -> None:
  """Raise `UserError` if a run could not be resumed from the meta data of a checkpoint.

  Args:
    path: the checkpoint.
    meta: its meta data.
  """
  refuse_malformed(path, meta, SHAPE)
  try:
    unpack(meta["journal"])
  except ValueError as error:
    raise UserError(f"{path}: journal {error}.") from None
