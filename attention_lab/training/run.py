"""A run: its parts, and what a checkpoint holds in addition to the training state."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import jax

from attention_lab.dataset.base.dataset import Dataset
from attention_lab.distributed.group import Group
from attention_lab.experiment import Experiment
from attention_lab.run import folder as run_folder
from attention_lab.run.checkpoint import Checkpoints
from attention_lab.run.recorder import Recorder
from attention_lab.training.clock import Clock
from attention_lab.training.listener import OnBatch
from attention_lab.training.loss_monitor import LossMonitor
from attention_lab.training.window import Window
from attention_lab.update import Measure


class Options(NamedTuple):
  """Settings that the training loop uses."""

  attention: str
  position: str
  position_chosen: bool  # Whether `position` is the default of the attention.
  dataset: str
  architecture: str
  changed: Mapping[str, Any]  # Settings that differ from their defaults; for messages.
  parameters: int  # Number of parameters.
  steps: int
  batch_size: int  # Examples per step, over all devices.
  log_every: int  # Steps.
  validate_every: int  # Steps.
  validate_batches: int | None  # 0 for the whole split; None for the default.
  save_every: int  # Steps.
  learning_rate: float  # At the schedule's peak; for messages.
  on_nonfinite: str  # "stop", "skip" or "rollback".
  nonfinite_limit: int  # Steps that may be skipped.
  profile: bool  # Whether to trace some steps.
  branched: bool  # Whether the run starts from the parameters of another one.
  leak_check: str  # "passed", "skipped" or "not applicable"; for the summary.
  exact: bool  # Whether the leak check saw no change, by rounding either.
  files: str  # Names of the files that a run leaves; for messages.
  resume: str  # The command that resumes the run; for messages.


class State(Protocol):
  """The training state of one run: a stepper, or one seed of a stepper."""

  @property
  def params(self) -> Any:
    """The parameters, on the devices."""

  def state(self) -> Any:
    """Return the state, on the host."""


@dataclasses.dataclass
class Run:
  """One run and its parts. Runs of several seeds in one program share all but their own.

  Attributes:
    experiment: model, dataset, loss and optimizer.
    options: settings of the loop.
    devices: the devices to train on.
    group: the processes that the devices belong to.
    measure: computes sums over a batch, from `update.make_evaluate`.
    attention_weights: the jitted `Model.attention_weights`.
    sampler: parameters on the host → samples, or None.
    extra_lengths: datasets of other lengths, to evaluate at the end.
    flops_per_step: () → model FLOPs per step.
    translate: parameters on the host, file, what follows each batch → scores, or None.
    seed: the run's own seed.
    folder: the run's own folder.
    state: the run's own training state.
    recorder: writes metrics.
    checkpoints: the run's checkpoints.
    clock: seconds of the run.
    identity: what its checkpoints record of it, from `identity.identity`.
    siblings: number of runs in the program.
  """

  experiment: Experiment
  options: Options
  devices: Sequence[jax.Device]
  group: Group
  measure: Measure
  attention_weights: Callable[..., Any]
  sampler: Callable[[Any], list[str]] | None
  extra_lengths: Mapping[int, Dataset]
  flops_per_step: Callable[[], int]
  translate: Callable[[Any, Path, OnBatch], dict[str, Any]] | None
  seed: int
  folder: Path
  state: State
  recorder: Recorder
  checkpoints: Checkpoints
  clock: Clock
  identity: Mapping[str, Any]
  siblings: int = 1
  window: Window = dataclasses.field(default_factory=Window.of)
  monitor: LossMonitor = dataclasses.field(default_factory=LossMonitor)
  validation: dict[str, float] | None = None  # Metrics of the last validation.
  comparable_loss: float | None = (
    None  # Its loss on the batches that all validations have.
  )
  validated: tuple[int, int] | None = (
    0,
    0,
  )  # Its step and number of batches, if known.

  def resume(self, meta: Mapping[str, Any]) -> None:
    """Restore the meta data of a checkpoint."""
    self.window = Window.of(meta["window"])
    self.validation = meta["validation"]
    self.comparable_loss = meta["validation_loss"]
    self.validated = meta.get("validated") and tuple(meta["validated"])
    self.monitor = LossMonitor(**meta.get("health", {}))
    self.clock.resume(meta["seconds"], meta["training_seconds"])

  def save(self, step: int, spent: float) -> Path:
    """Save a checkpoint; `saved` has to follow.

    Args:
      step: steps taken.
      spent: seconds in training steps since this start, by all runs.
    """
    state = self.state.state()
    if not self.group.first:
      return self.folder
    copy = self.recorder.sync()
    meta = {
      "identity": {**self.identity, "step": step},
      "window": list(self.window),
      "validation": self.validation,
      "validation_loss": self.comparable_loss,
      "validated": self.validated,
      "health": dataclasses.asdict(self.monitor),
      "journal": copy,
      "seconds": self.clock.seconds(),
      "training_seconds": self.clock.training_seconds(spent),
    }
    return self.checkpoints.save(step, state, meta)

  def saved(self, path: Path) -> None:
    """Remove old checkpoints, once all runs of the program have saved this one."""
    if self.group.first:
      run_folder.mark_saved(self.folder)
      self.checkpoints.remove_old(path)

  def tokens_per_second(self, step: int, spent: float) -> float:
    """Return tokens per second of training, over all starts and by all sibling runs."""
    tokens = self.experiment.dataset.tokens_per_step(self.options.batch_size)
    return tokens * step / max(self.clock.training_seconds(spent), 1e-9)


def save_all(runs: Sequence[Run], step: int, spent: float) -> list[Path]:
  """Save a checkpoint of all runs of a program, as `Run.save`; return their paths.

  Old checkpoints are removed when all runs have saved: a kill leaves a step that all have.
  """
  paths = [run.save(step, spent) for run in runs]
  for run, path in zip(runs, paths, strict=True):
    run.saved(path)
  return paths
