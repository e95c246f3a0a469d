"""The training loop: takes steps, and between them does what is due."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from attention_lab.distributed.devices import unreplicate
from attention_lab.errors import UserError
from attention_lab.run import folder as run_folder
from attention_lab.run import lost
from attention_lab.system.signals import Interrupt
from attention_lab.training import due, messages, validation
from attention_lab.training.divergence import advance
from attention_lab.training.listener import Listen
from attention_lab.training.profiling import trace
from attention_lab.training.progress import Show, spreads
from attention_lab.training.run import Run, save_all
from attention_lab.training.stepper import Stepper
from attention_lab.training.summary import summarise
from attention_lab.training.watch import Interrupted, Watch


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
    listen: makes what shows the progress.
  """

  def __init__(
    self, stepper: Stepper, runs: Sequence[Run], root: Path, listen: Listen = Show
  ):
    self._stepper, self._runs, self._root = stepper, runs, root
    run = runs[0]
    self._group, self._options, self._experiment = (
      run.group,
      run.options,
      run.experiment,
    )
    self._show = listen(stepper.step, run.options.steps, not run.group.first)
    self._interrupt = Interrupt()
    self._watch = Watch(self._show, self._signal, run.group.count)
    self._due = (
      Due(run.options.log_every, self._log),
      Due(
        run.options.validate_every,
        partial(validation.validate, runs, stepper, self._show, self._watch),
      ),
      Due(run.options.save_every, self._save),
    )

  def run(self) -> int:
    """Train to the end, or until a signal; return the exit status."""
    try:
      with self._interrupt:
        try:
          summaries = self._train()
        except Interrupted as stop:
          return self._interrupted(stop.signal)
      self._report(summaries)  # All is written: a signal ends the process.
      return 0
    except UserError:
      raise
    except Exception as error:
      error.add_note(messages.crash_note(self._runs, self._stepper.step, self._root))
      raise
    finally:
      self._show.close()

  def _train(self) -> list[dict[str, Any]]:
    """Compile, take the steps that are left, evaluate and return the summaries."""
    self._print(*messages.beginning(self._runs, self._stepper, self._root))
    self._stepper.compile(self._watch.check)
    if self._options.profile:
      folder = self._root / run_folder.PROFILE
      self._print(trace(self._advance, folder, self._group.first))
    self._group.begin()
    if self._options.branched and not self._stepper.step:
      self._save()  # From here on the run that it starts from is not needed.
    if validation.pending(self._runs[0], self._stepper.step):
      self._act()
    self._watch.check()
    while self._stepper.step < self._options.steps:
      self._advance()
      self._watch.check()
    with self._group.busy("evaluating"):
      return summarise(self._runs, self._stepper, self._watch)

  def _signal(self) -> int:
    """Return the signal that any process received, on all processes; 0 for none."""
    return self._group.highest(self._interrupt.signal or 0)

  def _advance(self) -> None:
    """Take some steps, and do what is due after them."""
    stepper, last = self._stepper, self._options.steps
    if stepper.step >= last:
      return
    next_due = min((stepper.step // x.every + 1) * x.every for x in self._due)
    self._print(*advance(stepper, self._runs, min(next_due, last)))
    self._show.step(stepper.step)
    self._act()

  def _act(self) -> None:
    """Do what is due after the current step."""
    step, ended = self._stepper.step, self._stepper.step >= self._options.steps
    with self._group.busy("evaluating or saving"):
      for item in self._due:
        if ended or step % item.every == 0:
          item.act()
      self._refuse_lost()

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

  def _save(self) -> list[Path]:
    return save_all(self._runs, self._stepper.step, self._stepper.seconds)

  def _refuse_lost(self) -> None:
    for run in self._runs if self._group.first else ():
      lost.refuse_lost_folder(run.folder)

  def _interrupted(self, signal: int) -> int:
    self._print(messages.interrupted(self._runs, self._stepper.step, self._save()))
    return 128 + signal

  def _report(self, summaries: Sequence[Mapping[str, Any]]) -> None:
    """Print a sample and the results."""
    self._show.close()
    if not self._show.prints:
      return
    params = unreplicate(self._runs[0].state.params)
    with self._group.busy("sampling"):
      text = due.sample(self._runs[0], params)
    if text is not None:
      self._print(f"\n--- sample ---\n{text}\n--------------\n")
    self._refuse_lost()
    self._print(*messages.ending(summaries, self._runs, self._root))

  def _print(self, *lines: str) -> None:
    for line in lines:
      self._show.line(line)
