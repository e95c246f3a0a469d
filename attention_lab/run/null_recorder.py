"""The logbook of a process beside the one that writes: it writes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attention_lab.run.recorder import Logbook


class NoJournal:
  """Takes records, and keeps none."""

  def write(self, step: int, split: str, **values: Any) -> None:
    """Does nothing."""

  def close(self) -> None:
    """Does nothing."""


class Bystander(Logbook):
  """Knows what a logbook knows, and leaves the folder to the first process."""

  def _begin(self, step: int, journal: str) -> None:
    self._journal = NoJournal()  # type: ignore[assignment]

  def save(self, step: int, state: Any, window: Any, spent: float) -> Path:
    return self.folder

  def summarise(self, summary: Mapping[str, Any]) -> None:
    pass
