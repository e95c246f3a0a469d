"""--mode=train: trains, or goes on where an earlier run of the folder stopped."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import config_dict

from attention_lab import run_folder
from attention_lab.attention.mask import default_positions
from attention_lab.board import Board, attention_image, tensorboard
from attention_lab.checkpoint import Checkpoints
from attention_lab.conformance.leak import refuse_leak
from attention_lab.dataset.base import Dataset
from attention_lab.devices import local_devices, refuse_indivisible, unreplicate
from attention_lab.errors import UserError
from attention_lab.evaluation import (
  at_lengths,
  evaluate,
  evaluate_lengths,
  make_sampler,
  told,
)
from attention_lab.experiment import Experiment, assemble
from attention_lab.files import write_json
from attention_lab.interrupt import Interrupt
from attention_lab.journal import Journal
from attention_lab.progress import Show
from attention_lab.timing import matmul_peak
from attention_lab.trainer import NonFinite, Trainer
from attention_lab.update import make_evaluate
from attention_lab.utilisation import flops_per_step


def run(config: config_dict.ConfigDict, workdir: str | None) -> int:
  """Trains; returns the exit status (0, or 128 + signal where one ended it)."""
  devices = local_devices()
  refuse_indivisible(config.batch_size, config.train.micro_batches, len(devices))
  folder = Path(workdir) if workdir else run_folder.new_folder(config)
  experiment = assemble(config, run_folder.kept(folder))
  if not config.skip_checks:
    for spec, build in experiment.causal.items():
      refuse_leak(spec, build, config.position, config.kernel)
  dataset = experiment.dataset
  for split in dataset.splits:
    dataset.size(split)  # Refuses data that cannot serve now.
  lengths = at_lengths(experiment, config.evaluation.lengths)
  sampler = make_sampler(experiment, config.sample, clip=True)  # Refuses a bad prompt.
  run_folder.open_(folder, config, dataset.fingerprint, devices, dataset.files())
  return Training(experiment, config, sampler, lengths, folder, devices).run()


class Training:
  """One start of a run: the trainer, and what is due between its steps."""

  def __init__(
    self,
    experiment: Experiment,
    config: config_dict.ConfigDict,
    sampler: Callable[[Any], list[str]] | None,
    lengths: dict[int, Dataset],
    folder: Path,
    devices: list[jax.Device],
  ):
    self._experiment = experiment
    self._config = config
    self._folder = folder
    self._devices = devices
    self._checkpoints = Checkpoints(
      folder / "checkpoints", config.checkpoint.keep, experiment.dataset.files()
    )
    self._trainer = Trainer(experiment, config, devices)
    self._evaluate = make_evaluate(
      experiment.measure, devices, experiment.dataset.num_shapes
    )
    self._sampler = sampler
    self._lengths = lengths
    self._weights = jax.jit(experiment.model.attention_weights)
    self._validation: dict[str, float] | None = None
    self._seconds_before = 0.0
    self._start = time.perf_counter()
    self._restore()
    self._show = Show(self._trainer.step, config.steps)
    self._journal = Journal(folder / "metrics.jsonl", self._trainer.step)
    self._boards = self._open_boards()

  def run(self) -> int:
    """Trains to the end, or to a signal; returns the exit status."""
    try:
      with Interrupt() as interrupt:
        self._announce()
        self._trainer.compile()
        if self._config.profile:
          self._profile()
        while self._trainer.step < self._config.steps and not interrupt.signal:
          self._advance()
        if interrupt.signal:
          return self._leave(interrupt.signal)
        self._finish()
        return 0
    except NonFinite as trouble:
      raise self._explain(trouble) from None
    finally:
      self._show.close()
      self._journal.close()
      for board in self._boards:
        board.close()

  def _restore(self) -> None:
    restored = self._checkpoints.restore(self._trainer.expected)
    if restored is None:
      return
    meta = restored.meta
    self._trainer.load(restored.tree, meta["window"], meta["training_seconds"])
    self._validation = meta["validation"]
    self._seconds_before = meta["seconds"]

  def _open_boards(self) -> list[Board]:
    folder, log = self._folder, self._config.log
    boards = []
    if log.wandb != "off":
      from attention_lab.wandb_board import wandb_board  # Only where it is asked for.

      boards.append(wandb_board(folder, log.wandb, self._config.to_dict()))
    if log.tensorboard:
      boards.append(tensorboard(folder / "tensorboard", self._trainer.step))
    return boards

  def _profile(self) -> None:
    """Records a call that has warmed up, for TensorBoard and Perfetto."""
    self._advance()
    with jax.profiler.trace(str(self._folder / "profile"), create_perfetto_trace=True):
      self._advance()
    self._show.line(f"Profile in {self._folder / 'profile'}")

  def _announce(self) -> None:
    config, step = self._config, self._trainer.step
    self._show.line(
      f"{config.attention} attention, position {config.position}, on {config.dataset}: "
      f"{self._parameters():,} parameters, {len(self._devices)} "
      f"{self._devices[0].platform} device{'s' * (len(self._devices) > 1)}"
    )
    if described := self._experiment.dataset.described(config.batch_size):
      self._show.line(described)
    self._show.line(
      f"{'Going on at step ' + str(step) if step else 'New run'} in {self._folder}"
    )

  def _advance(self) -> None:
    """Takes some steps, and does what is due after them."""
    if self._trainer.step < self._config.steps:
      self._trainer.advance(self._next_due())
      self._show.step(self._trainer.step)
      self._do_due()

  def _next_due(self) -> int:
    """The next step at which something is due."""
    step, config = self._trainer.step, self._config
    intervals = (config.log.every, config.evaluation.every, config.checkpoint.every)
    return min(config.steps, *((step // every + 1) * every for every in intervals))

  def _do_due(self) -> None:
    step, config = self._trainer.step, self._config
    last = step == config.steps
    if last or step % config.log.every == 0:
      self._report()
    if last or step % config.evaluation.every == 0:
      self._validate()
    if last or step % config.checkpoint.every == 0:
      self._save()

  def _report(self) -> None:
    step = self._trainer.step
    figures = self._trainer.take_report()
    figures["learning_rate"] = float(self._experiment.schedule(step - 1))
    speed = self._tokens_per_second()
    left = (self._config.steps - step) * self._trainer.seconds / step
    shown = {
      "loss": figures["loss"],
      "accuracy": figures["accuracy"],
      "tokens/s": speed,
    }
    self._show.figures(step, "train", shown, left)
    pace = {"tokens_per_second": speed, "data_wait": self._trainer.data_wait()}
    self._journal.write(step, "train", **figures, **pace)
    for board in self._boards:
      board.scalars(step, {f"train/{name}": x for name, x in figures.items()})
      board.scalars(step, pace)

  def _validate(self) -> None:
    step = self._trainer.step
    self._validation = self._measure("validation")
    self._show.figures(step, "validation", self._validation)
    self._journal.write(step, "validation", **self._validation)
    values = {f"validation/{name}": x for name, x in self._validation.items()}
    for board in self._boards:
      board.scalars(step, values)
    if self._boards:
      self._picture(step)

  def _picture(self, step: int) -> None:
    """Sample text and attention maps of a fixed validation batch, for the boards."""
    params = unreplicate(self._trainer.params())
    text = self._sample(params)
    example = self._experiment.dataset.examples("validation", 0, np.zeros(1, np.int64))
    source = () if example.source is None else (example.source,)
    at = default_positions(example.inputs)
    maps = self._weights(params, None, example.inputs, at, *source)
    by_name = {"attention": maps}
    if isinstance(maps, dict):
      by_name = {f"attention/{place}": maps[place] for place in maps}
    for board in self._boards:
      if text is not None:
        board.text(step, "sample", text)
      for name, layers in by_name.items():
        if (image := attention_image(layers)) is not None:
          board.image(step, name, image)

  def _sample(self, params: Any) -> str | None:
    """The prompt, continued; None from an architecture that continues none."""
    return None if self._sampler is None else self._sampler(params)[0]

  def _measure(self, split: str) -> dict[str, float]:
    return evaluate(
      self._evaluate,
      self._trainer.params(),
      self._experiment.dataset,
      split,
      self._config.batch_size,
      self._devices,
    )

  def _save(self) -> Path:
    meta = {
      "window": list(self._trainer.window),
      "validation": self._validation,
      "validation_loss": self._validation and self._validation["loss"],
      "seconds": self._seconds(),
      "training_seconds": self._trainer.seconds,
    }
    for board in self._boards:
      board.flush()
    return self._checkpoints.save(self._trainer.step, self._trainer.state(), meta)

  def _leave(self, signal: int) -> int:
    path = self._save()
    self._show.line(
      f"Interrupted at step {self._trainer.step}; saved {path}. Go on with: "
      f"python -m attention_lab.main --workdir={self._folder}"
    )
    return 128 + signal

  def _explain(self, trouble: NonFinite) -> UserError:
    self._journal.write(
      trouble.step,
      "event",
      event="not_finite",
      loss=trouble.loss,
      grad_norm=trouble.grad_norm,
    )
    saved = self._checkpoints.paths()
    kept = (
      f"The last good checkpoint is {saved[0]}." if saved else "Nothing was saved yet."
    )
    return UserError(
      f"At step {trouble.step} the loss is {trouble.loss} and the gradient's norm "
      f"{trouble.grad_norm}: training stopped before that step. {kept} Lower "
      f"--config.train.learning_rate (now {self._config.train.learning_rate})."
    )

  def _finish(self) -> None:
    train = self._measure("train")
    text = self._sample(unreplicate(self._trainer.params()))
    dtype = self._experiment.policy.compute_dtype
    seconds = max(self._trainer.seconds, 1e-9)
    flops = flops_per_step(self._config, self._experiment.dataset.files())
    speed = flops * self._trainer.step / seconds
    summary = {
      "attention": self._config.attention,
      "position": self._config.position,
      "dataset": self._config.dataset,
      "parameters": self._parameters(),
      "leak_check": self._leak_check(),
      "steps": self._trainer.step,
      "seconds": self._seconds(),
      "tokens_per_second": self._tokens_per_second(),
      "compile_seconds": self._trainer.compile_seconds,
      "flops_per_second": speed,
      "utilisation": speed / (matmul_peak(dtype) * len(self._devices)),
      "train": train,
      "validation": self._validation,
    }
    best = self._experiment.dataset.best_loss
    if best is not None and self._validation:
      summary["above_best"] = self._validation["loss"] - best
    if self._lengths:
      summary["lengths"] = evaluate_lengths(
        self._experiment.measure,
        self._trainer.params(),
        self._lengths,
        self._config.batch_size,
        self._devices,
      )
    write_json(self._folder / "summary.json", summary)
    self._show.close()
    if text is not None:
      self._show.line(f"\n--- sample ---\n{text}\n--------------\n")
    self._show.line(f"     train: {told(train)}")
    above = summary.get("above_best")
    self._show.line(
      f"validation: {told(summary['validation'])}"
      + (f", {above:.4f} nats above the best possible" if above is not None else "")
    )
    for length, figures in summary.get("lengths", {}).items():
      self._show.line(f"{'length ' + length:>10}: {told(figures)}")
    self._show.line(
      f"Written to {self._folder}: summary.json, metrics.jsonl, config.json, checkpoints/"
      + ", tensorboard/" * self._config.log.tensorboard
    )

  def _leak_check(self) -> str:
    if not self._experiment.causal:
      return "not asked"  # It has nothing that must not see ahead.
    return "skipped" if self._config.skip_checks else "passed"

  def _parameters(self) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(self._trainer.expected.params))

  def _seconds(self) -> float:
    """Wall-clock seconds of the run, over all its starts."""
    return self._seconds_before + time.perf_counter() - self._start

  def _tokens_per_second(self) -> float:
    """Tokens trained on in a second of training, over all starts."""
    tokens = self._experiment.dataset.tokens_per_step(self._config.batch_size)
    return tokens * self._trainer.step / max(self._trainer.seconds, 1e-9)
