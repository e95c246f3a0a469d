"""A comparison in this process: `attention_lab.compare`."""

import contextlib
from functools import partial
from pathlib import Path
from typing import Any

from attention_lab.api.comparing import configuration
from attention_lab.api.components import named
from attention_lab.api.process import (
  api_call,
  folder_of,
  interrupt,
  jax_settings_kept,
  refuse_other_thread,
)
from attention_lab.api.progress import Bar
from attention_lab.api.results.comparison import ComparisonReport
from attention_lab.attention.base.attention import Attention
from attention_lab.compare import budget, extras, launch
from attention_lab.compare.in_process import run_in_process
from attention_lab.compare.plan import Plan
from attention_lab.config import Config
from attention_lab.mode import compare as mode
from attention_lab.mode import train


@api_call()
def compare(
  *attentions: str | type[Attention],
  workdir: str | Path | None = None,
  progress: bool = True,
  **settings: Any,
) -> ComparisonReport:
  """Compare attentions as --mode=compare does, in this process, and print nothing.

  The runs take turns; a failed one leaves the others. Signals, standard output and the
  configuration of JAX are left as they were.

  Args:
    *attentions: names, with options as in "sliding_window(window=64)", or classes, the
      baseline first. A class needs neither a file nor a name of its own.
    workdir: folder of the runs and the reports, to resume or extend the comparison with
      the same call; None for a folder that is removed.
    progress: whether to show a bar, on a terminal or in a notebook.
    **settings: as flags, such as seeds=3, steps=300, dataset="copy" and
      tune="train.learning_rate=1e-3,3e-3", or as the name of a setting with two
      underscores for each dot: model__d_model=64. A list of values makes a grid.

  Raises:
    UserError: a name or setting is unknown, or a run would be refused.
    KeyboardInterrupt: after Ctrl-C; the current run has saved a checkpoint.
  """
  refuse_other_thread("compare")
  extras.refuse_missing("attention_lab.compare")
  messages: list[str] = []
  with contextlib.ExitStack() as stack:
    names = [stack.enter_context(named(each, "compare")) for each in attentions]
    config = configuration(names, settings)
    stack.enter_context(jax_settings_kept(config.compile_cache))
    budget.settle_length(config)
    folder = stack.enter_context(folder_of(workdir))
    call = _call(attentions, workdir, settings)
    bar = partial(Bar, shown=progress)
    session = mode.Session(_launch, bar, messages.append, call, workdir is not None)
    planned, trials = mode.make_plan(config, folder, session)
    signal, reports = mode.train(planned, trials, config, session)
    if not signal:
      return ComparisonReport.of(mode.finish(reports), messages)
  interrupt(signal)


def _launch(planned: Plan, config: Config, listener: launch.Listener) -> int | None:
  """Run the unfinished jobs here; return the signal that interrupted them, if any."""
  return run_in_process(launch.jobs(planned, config), train.run, listener)


def _call(
  attentions: tuple[Any, ...], workdir: str | Path | None, settings: dict[str, Any]
) -> str:
  """Return the call as text."""
  words = [x.__name__ if isinstance(x, type) else repr(x) for x in attentions]
  given = settings if workdir is None else {**settings, "workdir": str(workdir)}
  words += [f"{key}={value!r}" for key, value in given.items()]
  return f"attention_lab.compare({', '.join(words)})"
