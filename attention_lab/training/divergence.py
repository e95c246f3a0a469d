"""Handles steps that are not finite, and reports spikes of the loss.

Every event is a record of metrics.jsonl. Events depend on the data, the seed and the
settings alone, so a resumed run has the same ones.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

from attention_lab.errors import UserError
from attention_lab.training.run import Run
from attention_lab.training.seeds import select
from attention_lab.training.stepper import NonFinite, Stepper
from attention_lab.update import StepMetrics


def refuse_policy(policy: str, seeds: int) -> None:
  """Raise `UserError` if skipping a step of one seed would change the other seeds."""
  if seeds > 1 and policy != "stop":
    raise UserError(
      f"--config.train.on_nonfinite={policy} skips a step of one seed, but seeds that "
      f"train side by side take every step together. Omit it, or train each seed alone: "
      f"--seed=..."
    )


def refuse_nonfinite(run: Run, step: int, loss: float) -> None:
  """Raise `UserError` if a validation loss is not finite."""
  if not math.isfinite(loss):
    run.recorder.event(step, "not_finite", validation_loss=loss)
    rate = run.options.learning_rate
    raise UserError(
      f"At step {step} the validation loss of seed {run.seed} is {loss}, so this step is "
      f"not saved. Lower --config.train.learning_rate (now {rate})."
    )


def advance(stepper: Stepper, runs: Sequence[Run], limit: int) -> Iterator[str]:
  """Take some steps, at most up to step `limit`; yield messages about events.

  Raises:
    UserError: the run has to stop; its state is the one before the step that is not
      finite.
  """
  step, failure = stepper.step, None
  try:
    metrics = stepper.advance(limit)
  except NonFinite as error:
    metrics, failure = error.taken, error
  for i, run in enumerate(runs):
    own: StepMetrics = select(metrics, i, len(runs), axis=1)
    yield from _spikes(run, run.window.extend(own), step)
  if failure is not None:
    yield _recover(failure, stepper, runs)


def _spikes(run: Run, losses: Sequence[float], step: int) -> Iterator[str]:
  """Record the spikes among the losses of the steps after `step`; yield messages."""
  for number, loss in enumerate(losses, step + 1):
    mean = run.monitor.mean
    if run.monitor.observe(loss):
      run.recorder.event(number, "spike", loss=loss, mean=mean)
      yield f"step {number}: the loss jumped from about {mean:.3f} to {loss:.3f}"


def _recover(failure: NonFinite, stepper: Stepper, runs: Sequence[Run]) -> str:
  """Continue after a step that is not finite, as the settings say; return a message.

  "skip" keeps the state. "rollback" restores parameters and optimizer state of the last
  step that is a multiple of `checkpoint.every`; the steps since then are not repeated,
  since they would lead to the same state.

  Raises:
    UserError: the run has to stop.
  """
  run, options = runs[0], runs[0].options
  if options.on_nonfinite == "stop":
    raise _stop(failure, runs, "")
  if run.monitor.left_out >= (limit := options.nonfinite_limit):
    steps = "1 step was" if limit == 1 else f"{limit} steps were"
    raise _stop(
      failure,
      runs,
      f" {steps} skipped before it, the most that --config.train.nonfinite_limit allows.",
    )
  loss, norm = _figures(failure.failed)
  figures = {"loss": loss, "grad_norm": norm}
  message = f"At step {failure.step} the loss is {loss}: that step is skipped"
  if options.on_nonfinite == "skip":
    stepper.skip_to(stepper.state())
    run.recorder.event(failure.step + 1, "skipped", **figures)
  else:
    start = failure.step // options.save_every * options.save_every
    stepper.skip_to(_state_at(start, stepper, run))
    run.recorder.event(failure.step + 1, "rolled_back", to=start, **figures)
    message += f", and the parameters of step {start} are restored"
  run.monitor.left_out += 1
  return f"{message} ({run.monitor.left_out} of at most {limit} times)"


def _state_at(step: int, stepper: Stepper, run: Run) -> Any:
  if not step:
    return stepper.fresh()

  def read() -> Any:
    restored = run.checkpoints.at(stepper.expected, step)
    if restored is None:
      raise UserError(
        f"The run has to go back to step {step}, but the checkpoint of that step is "
        f"missing or damaged. Raise --config.checkpoint.keep, or use "
        f"--config.train.on_nonfinite=skip."
      )
    return restored.tree

  return stepper.shared(f"the state of step {step}", read)


def _figures(failed: StepMetrics) -> tuple[float, float]:
  """Return mean loss in nats and gradient norm of one run's step."""
  loss, _, weight = failed.sums
  return float(loss) / max(float(weight), 1.0), float(failed.grad_norm)


def _stop(failure: NonFinite, runs: Sequence[Run], reason: str) -> UserError:
  """Record that training stops, and return the error that says why."""
  each = [select(failure.failed, i, len(runs), axis=0) for i in range(len(runs))]
  index = next(i for i, own in enumerate(each) if not own.taken)
  run, (loss, norm) = runs[index], _figures(each[index])
  run.recorder.event(failure.step, "not_finite", loss=loss, grad_norm=norm)
  of_seed, others = "", ""
  if len(runs) > 1:
    of_seed = f" of seed {run.seed}"
    others = (
      " The other seeds stop with it; each can be resumed alone in its own folder."
    )
  if math.isfinite(loss) and math.isfinite(norm):
    what = f"the new parameters{of_seed} are not finite"
  else:
    what = f"the loss{of_seed} is {loss} and the gradient norm {norm}"
  saved = run.checkpoints.paths()
  kept = f"The last checkpoint is {saved[0]}." if saved else "Nothing was saved yet."
  options = run.options
  remedy = (
    f"Lower --config.train.learning_rate (now {options.learning_rate}), or skip such "
    f"steps with --config.train.on_nonfinite=skip or rollback."
  )
  if failure.step == 0 and not math.isfinite(loss):
    remedy = (
      f"No step was taken yet, so the cause is the model itself: try "
      f"--mode=check --attention={options.attention!r}."
    )
  return UserError(
    f"At step {failure.step} {what}: training stopped before that step.{reason} {kept} "
    f"{remedy}{others}"
  )
