"""What becomes of a run whose loss or gradient is not finite, and of one that spikes.

Every event is a record of metrics.jsonl. All of it is a function of the data, the seed
and the settings, so a run that was interrupted meets the same and does the same.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from ml_collections import config_dict

from attention_lab.errors import UserError
from attention_lab.run.recorder import Logbook
from attention_lab.training.stepper import NonFinite, Trainer
from attention_lab.update import TrainState


def refuse_policy(config: config_dict.ConfigDict, seeds: int) -> None:
  """Raises UserError where one seed's trouble would change what another one learns."""
  policy = config.train.on_nonfinite
  if seeds > 1 and policy != "stop":
    raise UserError(
      f"--config.train.on_nonfinite={policy} leaves out a step of one seed, and seeds "
      f"that train side by side take each step together. Leave it out, or train each "
      f"seed alone: --seed=..."
    )


def advance(
  trainer: Trainer,
  limit: int,
  logbooks: Sequence[Logbook],
  config: config_dict.ConfigDict,
) -> Iterator[str]:
  """Takes some steps, at most to `limit`; tells what trouble there was.

  Raises:
    UserError: the run has to stop; its state is that before the step that could not be
      taken.
  """
  step, known, caught = trainer.step, len(trainer.windows[0].loss), None
  try:
    trainer.advance(limit)
  except NonFinite as trouble:
    caught = trouble
  for logbook, window in zip(logbooks, trainer.windows, strict=True):
    losses = np.divide(window.loss[known:], np.maximum(window.weight[known:], 1))
    yield from _spikes(logbook, losses.tolist(), step)
  if caught is not None:
    yield _rescue(caught, trainer, logbooks, config)


def _spikes(logbook: Logbook, losses: Sequence[float], step: int) -> Iterator[str]:
  """Notes the spikes among the losses of the steps from `step` on, and tells of them."""
  for taken, loss in enumerate(losses, step + 1):
    mean = logbook.health.mean
    if logbook.health.see(loss):
      logbook.event(taken, "spike", loss=loss, mean=mean)
      yield f"step {taken}: the loss jumped from about {mean:.3f} to {loss:.3f}"


def _rescue(
  trouble: NonFinite,
  trainer: Trainer,
  logbooks: Sequence[Logbook],
  config: config_dict.ConfigDict,
) -> str:
  """Goes on behind a step that could not be taken, as the settings say; tells how.

  To skip is to leave the state as it was. To roll back is to take parameters and
  optimizer state of the last step that `checkpoint.every` divides; the steps since then
  are not taken again, since they would lead to the same.

  Raises:
    UserError: the run has to stop.
  """
  policy, logbook = config.train.on_nonfinite, logbooks[trouble.index]
  if policy == "stop":
    raise _stop(trouble, logbooks, config, "")
  limit = config.train.nonfinite_limit
  if logbook.health.left_out >= limit:
    raise _stop(
      trouble,
      logbooks,
      config,
      f" {limit} steps were left out before it, as many as "
      f"--config.train.nonfinite_limit allows.",
    )
  figures = {"loss": trouble.loss, "grad_norm": trouble.grad_norm}
  said = f"At step {trouble.step} the loss is {trouble.loss}: that step is skipped"
  if policy == "skip":
    trainer.leave_out(trainer.states())
    logbook.event(trouble.step + 1, "skipped", **figures)
  else:
    start = trouble.step // config.checkpoint.every * config.checkpoint.every
    trainer.leave_out([_state_at(start, trainer, logbook)])
    logbook.event(trouble.step + 1, "rolled_back", to=start, **figures)
    said += f", and parameters are again those of step {start}"
  logbook.health.left_out += 1
  return f"{said} ({logbook.health.left_out} of at most {limit} times)"


def _state_at(step: int, trainer: Trainer, logbook: Logbook) -> TrainState:
  if not step:
    return trainer.fresh()[0]

  def read() -> TrainState:
    restored = logbook.checkpoints.at(trainer.expected, step)
    if restored is None:
      raise UserError(
        f"The run has to go back to step {step}, but the checkpoint of that step is gone "
        f"or damaged. Raise --config.checkpoint.keep, or take "
        f"--config.train.on_nonfinite=skip."
      )
    state: TrainState = restored.tree
    return state

  return trainer.shared(f"the state of step {step}", read)


def _stop(
  trouble: NonFinite,
  logbooks: Sequence[Logbook],
  config: config_dict.ConfigDict,
  before: str,
) -> UserError:
  logbook = logbooks[trouble.index]
  logbook.event(
    trouble.step, "not_finite", loss=trouble.loss, grad_norm=trouble.grad_norm
  )
  saved = logbook.checkpoints.paths()
  kept = (
    f"The last good checkpoint is {saved[0]}." if saved else "Nothing was saved yet."
  )
  whose, others = "", ""
  if len(logbooks) > 1:
    whose = f" of seed {logbook.config.seed}"
    others = " The other seeds stop with it; each can go on alone in its own folder."
  what = (
    f"the loss{whose} is {trouble.loss} and the gradient's norm {trouble.grad_norm}"
  )
  if math.isfinite(trouble.loss) and math.isfinite(trouble.grad_norm):
    what = f"the new parameters{whose} are not finite"
  remedy = (
    f"Lower --config.train.learning_rate (now {config.train.learning_rate}), or leave "
    f"such steps out with --config.train.on_nonfinite=skip or rollback."
  )
  if trouble.step == 0 and not math.isfinite(trouble.loss):
    remedy = (
      f"No step was taken yet, so the model itself gives it: look closer with "
      f"--mode=check --attention={config.attention!r}."
    )
  return UserError(
    f"At step {trouble.step} {what}: training stopped before that step.{before} {kept} "
    f"{remedy}{others}"
  )


def refuse_nonfinite(logbook: Logbook, step: int, loss: float) -> None:
  """Raises UserError if a validation loss is not finite; it is no figure to report."""
  if not math.isfinite(loss):
    logbook.event(step, "not_finite", validation_loss=loss)
    raise UserError(
      f"At step {step} the validation loss of seed {logbook.config.seed} is {loss}, so "
      f"this step is not saved. Lower --config.train.learning_rate (now "
      f"{logbook.config.train.learning_rate})."
    )
