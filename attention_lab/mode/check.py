"""--mode=check: test the laws that every attention must obey.

Tests every law on each named attention, prints a line for each as it is tested, then what
failed, and writes check.json. The exit status is 1 if a law is broken.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Column
from rich.text import Text

from attention_lab.attention.base.default_position import AUTO
from attention_lab.compatibility import refuse_incompatible
from attention_lab.config import Config, words
from attention_lab.conformance import check as laws
from attention_lab.conformance import table
from attention_lab.conformance.law import Law, Verdict
from attention_lab.conformance.schemes import MAX_LENGTH
from attention_lab.conformance.sizes import Sizes
from attention_lab.conformance.subject import Subject
from attention_lab.errors import UserError, one_line
from attention_lab.plugin import attribution
from attention_lab.plugin import spec as specs
from attention_lab.position.base.position import Position, positions, properties_of
from attention_lab.run import folder as run_folder
from attention_lab.system.files import make_folder, write_json
from attention_lab.system.versions import all_versions
from attention_lab.system.watchdog import Watchdog

STYLES = {"holds": "green", "not applicable": ""}
WIDEST = 100  # Columns.


def run(config: Config, workdir: str | None) -> int:
  """Check the attentions, print and write the verdicts; return 1 if a law is broken."""
  names = specs.distinct(config.attention)
  # The laws have schemes of their own, unless the user names one.
  position = None if config.position == AUTO else config.position
  console = Console(highlight=False, soft_wrap=True, emoji=False, markup=False)
  subjects = {}
  for name in names:  # Mistakes are refused before anything is written.
    subjects[name] = _subject(name, config.check.depth, position, console)
  folder = run_folder.given_or_new(workdir, words(config))
  make_folder(folder, "workdir")
  found: dict[str, list[Verdict]] = {}
  for name, subject in subjects.items():
    scheme = f"--position={position}" if position else _generic_scheme(subject)
    sizes = "" if subject.sizes == Sizes() else f", {subject.sizes}"
    title = f"{name} (depth {config.check.depth}, {scheme}{sizes})"
    console.print(f"{title}\n\n{table.HEAD}")
    found[name] = _check(name, subject, console)
    jax.clear_caches()  # A process can map only a limited number of programs.
    for line in table.details(found[name], min(console.width, WIDEST)):
      console.print(line)
    console.print()
  record = {
    "attentions": {name: [v._asdict() for v in each] for name, each in found.items()},
    "depth": config.check.depth,
    "position": position,
    "versions": all_versions(),
  }
  write_json(folder / "check.json", record)
  console.print(f"Written to {folder / 'check.json'}")
  for name, each in found.items():
    prefix = f"{name}: " if len(found) > 1 else ""
    console.print(prefix + table.summary(each))
  return 1 if any(verdict.failed for each in found.values() for verdict in each) else 0


def _subject(name: str, depth: str, position: str | None, console: Console) -> Subject:
  """Return the attention to test.

  Raises:
    UserError: it cannot be built or called, so that every law would fail alike.
  """
  make = positions.bind(position) if position else Position
  scheme = partial(make, max_length=MAX_LENGTH)
  with _watched(console, lambda: f"in the first call of {name}"):
    try:
      subject = Subject(name, depth=depth, position=position)
    except UserError:
      raise
    except (Exception, SystemExit) as error:  # A plugin may call sys.exit.
      raise UserError(f"The attention {name!r} fails: {one_line(error)}.") from error
    build = lambda: subject.build(scheme(), subject.sizes)  # noqa: E731
    hooks, kinds = properties_of(scheme).hooks, {kind: kind for kind in subject.kinds}
    refuse_incompatible(name, build, position or "none", hooks, kinds, jnp.float32)
  return subject


def _generic_scheme(subject: Subject) -> str:
  """Return the positional scheme of the laws, for the title of the table."""
  names = {"rotate": "rotation", "bias": "bias"}
  used = " and ".join(names[hook] for hook in subject.hooks)
  return f"generic {used}" if used else "without positions"


def _check(name: str, subject: Subject, console: Console) -> list[Verdict]:
  """Test every law and print its line; show on a terminal what is being tested."""
  found: list[Verdict] = []
  current = ""

  def tell(law: Law, case: str) -> None:
    nonlocal current
    current = f"{law.name}: {case}" if case else law.name
    progress.update(task, description=current, refresh=True)

  text = TextColumn(
    "{task.completed}/{task.total} {task.description}",
    markup=False,
    table_column=Column(no_wrap=True, overflow="ellipsis"),
  )
  progress = Progress(
    text,
    console=console,
    transient=True,
    disable=not console.is_terminal,
  )
  task = progress.add_task("", total=len(laws.LAWS))
  verdicts = laws.verdicts(subject, tell)
  with progress:
    while True:
      with _watched(console, lambda: f"testing {name} ({current})"):
        verdict = next(verdicts, None)
      if verdict is None:
        return found
      found.append(verdict)
      progress.advance(task)
      row, end = Text(table.row(verdict)), len(table.label(verdict))
      row.stylize(STYLES.get(verdict.status, "red"), 0, end)
      console.print(row)


@contextmanager
def _watched(console: Console, what: Callable[[], str]) -> Iterator[None]:
  """Say what is being done while it takes long, on standard error if that is a file."""

  def report(seconds: float) -> None:
    place = attribution.current_line()
    line = f"still {what()} after {seconds:.0f} s{place}; Ctrl-C stops."
    if console.is_terminal:
      console.print(line)
    else:
      print(line, file=sys.stderr, flush=True)

  with Watchdog(report):
    yield
