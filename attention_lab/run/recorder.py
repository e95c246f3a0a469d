"""What a run leaves in its folder while it trains: journal, boards and checkpoints."""

import dataclasses
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ml_collections import config_dict

from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.run.loss_monitor import Health
from attention_lab.run.metrics_file import Journal
from attention_lab.run.tensorboard import Board, tensorboard
from attention_lab.system.files import write_json, writing


class Logbook:
  """Writes one run's folder; knows nothing of how it trains.

  Args:
    folder: the run's folder, `run_folder.held`.
    config: the run's configuration.
    files: what every checkpoint holds besides the state, by name.
    side_by_side: how many runs the seconds are shared by.
  """

  def __init__(
    self,
    folder: Path,
    config: config_dict.ConfigDict,
    files: Mapping[str, bytes],
    side_by_side: int,
  ):
    self.folder = folder
    self.config = config
    self.checkpoints = Checkpoints(
      folder / run_folder.CHECKPOINTS, config.checkpoint.keep, files
    )
    self.validation: dict[str, float] | None = None  # The last figures of that split.
    self.boards: list[Board] = []
    self.health = Health()
    self._files = files
    self._side_by_side = side_by_side
    self._start = time.perf_counter()
    self._seconds = 0.0  # Of earlier starts.
    self._training_seconds = 0.0

  def record(self, fingerprint: str, devices: list[Any]) -> None:
    """Notes this start in config.json: on what data, which it keeps, and on what."""
    run_folder.record(self.folder, self.config, fingerprint, devices, self._files)

  def open(self, step: int, meta: Mapping[str, Any] | None) -> None:
    """Goes on from a step, with the meta data of its checkpoint if there is one."""
    if meta is not None:
      self.validation = meta["validation"]
      self._seconds = meta["seconds"]
      self._training_seconds = meta["training_seconds"]
      self.health = Health(**meta.get("health", {}))
    self._begin(step, meta["journal"] if meta else "")

  def _begin(self, step: int, journal: str) -> None:
    """Opens what is written to, with the records that were saved with the step."""
    self._journal = Journal(self.folder / "metrics.jsonl", journal)
    log = self.config.log
    if log.wandb != "off":
      from attention_lab.run.wandb import wandb_board  # Only where it is asked for.

      self.boards.append(wandb_board(self.folder, log.wandb, self.config.to_dict()))
    if log.tensorboard:
      self.boards.append(tensorboard(self.folder / "tensorboard", step))

  def seconds(self) -> float:
    """Wall-clock seconds of the run, over all its starts: its share of them."""
    elapsed = time.perf_counter() - self._start
    return self._seconds + elapsed / self._side_by_side

  def training_seconds(self, spent: float) -> float:
    """The run's share of the seconds in training steps, `spent` of them in this start."""
    return self._training_seconds + spent / self._side_by_side

  def report(
    self, step: int, figures: Mapping[str, float], pace: Mapping[str, float]
  ) -> None:
    """Figures of training, and how fast it goes."""
    self._journal.write(step, "train", **figures, **pace)
    for board in self.boards:
      board.scalars(step, {f"train/{name}": x for name, x in figures.items()})
      board.scalars(step, dict(pace))

  def validated(self, step: int, figures: dict[str, float]) -> None:
    """Figures of validation."""
    self.validation = figures
    self._journal.write(step, "validation", **figures)
    values = {f"validation/{name}": x for name, x in figures.items()}
    for board in self.boards:
      board.scalars(step, values)

  def picture(
    self, step: int, text: str | None, images: Mapping[str, np.ndarray]
  ) -> None:
    """A sample, if there is one, and images by name: for the boards alone."""
    for board in self.boards:
      if text is not None:
        board.text(step, "sample", text)
      for name, image in images.items():
        board.image(step, name, image)

  def event(self, step: int, event: str, **values: Any) -> None:
    """Something that happened once."""
    self._journal.write(step, "event", event=event, **values)

  def save(self, step: int, state: Any, window: Any, spent: float) -> Path:
    """Saves a state of host arrays and what a resume needs besides."""
    meta = {
      "window": list(window),
      "validation": self.validation,
      "validation_loss": self.validation and self.validation["loss"],
      "health": dataclasses.asdict(self.health),
      "journal": self._journal.copy(),
      "seconds": self.seconds(),
      "training_seconds": self.training_seconds(spent),
    }
    for board in self.boards:
      board.flush()
    self._journal.sync()  # A checkpoint's records outlast a power cut as it does.
    return self.checkpoints.save(step, state, meta)

  def summarise(self, summary: Mapping[str, Any]) -> None:
    """Writes what the run came to."""
    path = self.folder / "summary.json"
    with writing(path):
      write_json(path, summary)

  def close(self) -> None:
    """Closes what `open` opened."""
    self._journal.close()
    for board in self.boards:
      board.close()
