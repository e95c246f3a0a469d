"""Progress of preparing data, on standard error: a bar on a terminal, or lines."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

SECONDS = 5.0  # Least time between two lines.
MEGABYTE = 1e6


@contextlib.contextmanager
def shown(what: str, total: int) -> Iterator[Callable[[int], None]]:
  """Show progress in a context, which gets a function to call with numbers of bytes.

  Args:
    what: what is done, such as "Encoding notes.txt".
    total: number of bytes in all; 0 if unknown.
  """
  if sys.stderr.isatty():
    with _bar(what, total) as advance:
      yield advance
  else:
    yield _lines(what, total)


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
  from rich.console import Console
  from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
  )

  columns = (TextColumn("{task.description}", markup=False), BarColumn())
  console = Console(stderr=True, force_jupyter=False)
  with Progress(
    *columns, DownloadColumn(), TimeRemainingColumn(), console=console, transient=True
  ) as bar:
    task = bar.add_task(what, total=total or None)
    yield lambda size: bar.advance(task, size)


def _lines(what: str, total: int) -> Callable[[int], None]:
  done, printed = 0, time.perf_counter()

  def advance(size: int) -> None:
    nonlocal done, printed
    done += size
    if time.perf_counter() - printed >= SECONDS:
      printed = time.perf_counter()
      of = f" of {total / MEGABYTE:,.0f}" if total else ""
      print(f"{what}: {done / MEGABYTE:,.0f}{of} MB", file=sys.stderr, flush=True)

  return advance
