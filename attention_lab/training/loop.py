"""The training loop: takes steps, and between them does what is due."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax

from attention_lab.distributed.devices import unreplicate
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.system.signals import Interrupt
from attention_lab.training import due, leaks, messages
from attention_lab.training.divergence import advance, refuse_nonfinite
from attention_lab.training.progress import Show, spreads
from attention_lab.training.run import Run
from attention_lab.training.stepper import Stepper
from attention_lab.training.summary import summarise


class Due(NamedTuple):
  """An action that is due at every multiple of `every` steps, and at the end."""

  every: int
  act: Callable[[], Any]


class Loop:
  """Trains one run, or several that share one program.

  Args:
    stepper: takes the steps.
    runs: the runs whose state the stepper advances.
    root: the folder of the run, or of the runs' folders.
  """

  def __init__(self, stepper: Stepper, runs: Sequence[Run], root: Path):
    self._stepper, self._runs, self._root = stepper, runs, root
    run = runs[0]
    self._group, self._options, self._experiment = (
      run.group,
      run.options,
      run.experiment,
    )
    self._show = Show(stepper.step, run.options.steps, quiet=not run.group.first)
    self._due = (
      Due(run.options.log_every, self._log),
      Due(run.options.validate_every, self._validate),
      Due(run.options.save_every, self._save),
    )

  def run(self) -> int:
    """Train to the end, or until a signal; return the exit status."""
    try:
      with Interrupt() as interrupt:
        self._print(*messages.beginning(self._runs, self._stepper, self._root))
        self._stepper.compile()
        if self._options.profile:
          self._profile()
        self._group.begin()
        while not (signal := self._signal(interrupt)):
          if self._stepper.step >= self._options.steps:
            break
          self._advance()
        if signal:
          return self._interrupted(signal)
        self._finish()
        return 0
    except UserError:
      raise
    except Exception as error:
      error.add_note(messages.crash_note(self._runs, self._stepper.step, self._root))
      raise
    finally:
      self._show.close()

  def _signal(self, interrupt: Interrupt) -> int:
    """Return the signal that any process received, on all processes; 0 for none."""
    return self._group.highest(interrupt.signal or 0)

  def _advance(self) -> None:
    """Take some steps, and do what is due after them."""
    stepper, last = self._stepper, self._options.steps
    if stepper.step >= last:
      return
    next_due = min((stepper.step // x.every + 1) * x.every for x in self._due)
    self._print(*advance(stepper, self._runs, min(next_due, last)))
    self._show.step(stepper.step)
    with self._group.busy("evaluating or saving"):
      for item in self._due:
        if stepper.step == last or stepper.step % item.every == 0:
          item.act()

  def _log(self) -> None:
    if not self._runs[0].window.loss:
      return  # All steps since the last log entry were skipped.
    stepper, first = self._stepper, self._runs[0]
    wait = stepper.data_wait()
    figures = [due.log(run, stepper.step, stepper.seconds, wait) for run in self._runs]
    shown = [{key: x[key] for key in ("loss", "accuracy")} for x in figures]
    speed = first.tokens_per_second(stepper.step, stepper.seconds)
    spent = first.clock.training_seconds(stepper.seconds) * len(self._runs)
    left = (self._options.steps - stepper.step) * spent / stepper.step
    self._show.figures(
      stepper.step, "train", spreads(shown) | {"tokens/s": speed}, left
    )

  def _validate(self) -> None:
    leaks.refuse_leak(self._runs, self._stepper)
    figures = [due.evaluate_split(run, "validation") for run in self._runs]
    for run, values in zip(self._runs, figures, strict=True):
      refuse_nonfinite(run, self._stepper.step, values["loss"])
    self._show.figures(self._stepper.step, "validation", spreads(figures))
    for run, values in zip(self._runs, figures, strict=True):
      due.record_validation(run, self._stepper.step, values)

  def _save(self) -> list[Path]:
    return [run.save(self._stepper.step, self._stepper.seconds) for run in self._runs]

  def _profile(self) -> None:
    """Trace a call after the first, for TensorBoard and Perfetto."""
    self._advance()
    if not self._group.first:
      self._advance()
      return
    folder = self._root / run_folder.PROFILE
    with jax.profiler.trace(str(folder), create_perfetto_trace=True):
      self._advance()
    self._print(f"Profile in {folder}")

  def _interrupted(self, signal: int) -> int:
    self._print(messages.interrupted(self._runs, self._stepper.step, self._save()))
    return 128 + signal

  def _finish(self) -> None:
    """Evaluate every run, write its summary and print the results."""
    summaries = summarise(self._runs, self._stepper)
    self._show.close()
    if not self._group.first:
      return
    if (text := due.sample(self._runs[0], self._params(0))) is not None:
      self._print(f"\n--- sample ---\n{text}\n--------------\n")
    self._print(*messages.ending(summaries, self._runs, self._root))

  def _params(self, index: int) -> Any:
    return unreplicate(self._runs[index].state.params)

  def _print(self, *lines: str) -> None:
    for line in lines:
      self._show.line(line)
