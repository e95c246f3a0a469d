"""The recorder: writes a run's metrics to metrics.jsonl and to the boards."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from attention_lab.run import folder as run_folder
from attention_lab.run.metrics_file import MetricsFile
from attention_lab.run.tensorboard import Board, tensorboard
from attention_lab.system.regular import refuse_links_below


class Recorder:
  """Writes records to the metrics file and to the boards.

  Without either it writes nothing: the recorder of all processes but the first.

  Args:
    metrics_file: metrics.jsonl.
    boards: TensorBoard and Weights & Biases.
  """

  def __init__(
    self, metrics_file: MetricsFile | None = None, boards: Sequence[Board] = ()
  ):
    self._file = metrics_file
    self._boards = boards

  @property
  def shows_pictures(self) -> bool:
    """Whether `picture` has a board to write to."""
    return bool(self._boards)

  def train(
    self, step: int, figures: Mapping[str, float], pace: Mapping[str, float]
  ) -> None:
    """Record metrics of training, and its pace."""
    self._write(step, "train", **figures, **pace)
    for board in self._boards:
      board.scalars(step, {f"train/{name}": x for name, x in figures.items()})
      board.scalars(step, dict(pace))

  def validation(
    self, step: int, figures: Mapping[str, float], batches: int = 0
  ) -> None:
    """Record metrics of the validation split, or of some batches of it if not 0."""
    some = {"batches": batches} if batches else {}
    self._write(step, "validation", **figures, **some)
    for board in self._boards:
      board.scalars(step, {f"validation/{name}": x for name, x in figures.items()})

  def picture(
    self, step: int, text: str | None, images: Mapping[str, np.ndarray]
  ) -> None:
    """Write a sample, if there is one, and images by name to the boards."""
    for board in self._boards:
      if text is not None:
        board.text(step, "sample", text)
      for name, image in images.items():
        board.image(step, name, image)

  def event(self, step: int, event: str, **values: Any) -> None:
    """Record a single event, such as a skipped step."""
    self._write(step, "event", event=event, **values)

  def sync(self) -> str:
    """Write all records to the disk; return a packed copy of metrics.jsonl."""
    for board in self._boards:
      board.flush()
    if self._file is None:
      return ""
    self._file.sync()  # Records survive a power cut as the checkpoint does.
    return self._file.copy()

  def close(self) -> None:
    """Close the file and the boards."""
    if self._file is not None:
      self._file.close()
    for board in self._boards:
      board.close()

  def _write(self, step: int, split: str, **values: Any) -> None:
    if self._file is not None:
      self._file.write(step, split, **values)


def open_recorder(
  folder: Path,
  step: int,
  copy: str,
  settings: Mapping[str, Any],
  use_tensorboard: bool,
  wandb: str,
) -> Recorder:
  """Open the files of a run's folder for writing.

  Args:
    folder: the run's folder.
    step: the step at which the run resumes.
    copy: the packed records up to this step, from its checkpoint; "" for a new run.
    settings: the configuration, for Weights & Biases.
    use_tensorboard: whether to write TensorBoard events.
    wandb: "off", "offline" or "online".
  """
  metrics_file = MetricsFile(folder / run_folder.METRICS, copy)
  boards = []
  if wandb != "off":
    from attention_lab.run.wandb import wandb_board  # An extra, imported only if used.

    boards.append(wandb_board(folder, wandb, dict(settings)))
  if use_tensorboard:
    refuse_links_below(folder / run_folder.TENSORBOARD)
    boards.append(tensorboard(folder / run_folder.TENSORBOARD, step))
  return Recorder(metrics_file, boards)
