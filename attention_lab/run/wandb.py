"""Weights & Biases, offline or online, through its own library (the extra [wandb])."""

import os
import re
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image  # noqa: F401  Importing it on two threads at once fails.

from attention_lab.errors import UserError, not_installed, one_line
from attention_lab.run.folder import WANDB_ID
from attention_lab.run.tensorboard import Board
from attention_lab.system.files import write_file, writing
from attention_lab.system.regular import read_regular, refuse_link

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
    raise not_installed(f"--wandb={mode}", "wandb", "wandb") from None
  refuse_link(folder / "wandb")  # The library makes links below it itself.
  name = _id(folder / WANDB_ID)
  try:
    run = wandb.init(
      project=PROJECT,
      name=folder.name,
      id=name,
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


def _id(path: Path) -> str:
  """Return the run's name at Weights & Biases, which keeps a resumed run on its curves."""
  if not os.path.lexists(path):
    with writing(path):
      write_file(path, uuid.uuid4().hex[:12].encode())
  name = read_regular(path).decode("utf-8", "replace")
  if not re.fullmatch(r"[\w-]{1,64}", name, re.ASCII):  # It becomes part of a path.
    raise UserError(f"{path} does not hold an id of Weights & Biases. Remove it.")
  return name


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
