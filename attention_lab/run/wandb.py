"""Weights & Biases, offline or online, through its own library (the extra [wandb])."""

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image  # noqa: F401  Importing it on two threads at once fails.

from attention_lab.errors import UserError, one_line
from attention_lab.run.folder import WANDB_ID
from attention_lab.run.tensorboard import Board
from attention_lab.system.files import writing

PROJECT = "attention_lab"


def wandb_board(folder: Path, mode: str, config: Mapping[str, Any]) -> Board:
  """Return a board that writes to Weights & Biases.

  Args:
    folder: the run's folder; offline logs are written below it, for `wandb sync`.
    mode: "offline" or "online".
    config: the configuration to show with the run.

  Raises:
    UserError: the library is not installed, or does not start.
  """
  try:
    import wandb
  except ImportError:
    raise UserError(
      f"--wandb={mode} needs the library: pip install wandb, or the extra [wandb] of "
      f"this one."
    ) from None
  path = folder / WANDB_ID  # Keeps a resumed run on its own curves.
  if not path.exists():
    with writing(path):
      path.write_text(uuid.uuid4().hex[:12], "utf-8")
  try:
    run = wandb.init(
      project=PROJECT,
      name=folder.name,
      id=path.read_text("utf-8"),
      resume="allow",
      reinit="create_new",  # Several seeds that train side by side are runs of their own.
      dir=str(folder),
      mode=mode,  # type: ignore[arg-type]  # The configuration checked it.
      config=dict(config),
      settings=wandb.Settings(silent=True),
    )
  except Exception as error:
    raise UserError(
      f"--wandb={mode}: {one_line(error)}. Type `wandb login`, or take --wandb=offline."
    ) from error
  return Board("Weights & Biases", lambda: _Writer(wandb, run))


class _Writer:
  """Adapter of the library to the methods that a board calls."""

  def __init__(self, wandb: Any, run: Any):
    self._wandb, self._run = wandb, run

  def add_scalar(self, name: str, value: float, step: int) -> None:
    self._run.log({name: value}, step=step)

  def add_text(self, name: str, text: str, step: int) -> None:
    table = self._wandb.Table(columns=["text"], data=[[text]])
    self._run.log({name: table}, step=step)

  def add_image(
    self, name: str, pixels: np.ndarray, step: int, dataformats: str
  ) -> None:
    assert dataformats == "HW"
    self._run.log({name: self._wandb.Image(255 * pixels, mode="L")}, step=step)

  def flush(self) -> None:
    """Do nothing: the library writes in a process of its own."""

  def close(self) -> None:
    self._run.finish()
