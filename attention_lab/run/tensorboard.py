"""Boards: TensorBoard and others, behind a queue that never blocks the training.

On a full disk, tensorboardX's writer thread dies and its calls block for ever. So a
thread of the board makes those calls, and events that exceed the queue are dropped.
"""

import contextlib
import queue
import secrets
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CAPACITY = 1000  # Events that the queue holds.
PATIENCE = 10.0  # Seconds that `close` waits for the last events.


class Board:
  """Hands scalars, texts and images to a writer.

  Args:
    name: name of the writer, for messages.
    make: makes the writer, on the board's own thread. It needs the methods of
      `tensorboardX.SummaryWriter` that are called here.
  """

  def __init__(self, name: str, make: Callable[[], Any]):
    self._name = name
    self._queue: queue.Queue[Callable[[Any], None] | None] = queue.Queue(CAPACITY)
    self.dropped = 0
    self._thread = threading.Thread(
      target=self._work, args=(make,), name=name, daemon=True
    )
    self._thread.start()

  def scalars(self, step: int, values: dict[str, float]) -> None:
    """Add one point to each curve."""
    for name, value in values.items():
      self._put(lambda w, n=name, v=value: w.add_scalar(n, v, step))  # type: ignore[misc]

  def text(self, step: int, name: str, text: str) -> None:
    """Add a text, shown verbatim."""
    indented = "\n".join("    " + line for line in text.split("\n"))
    self._put(lambda writer: writer.add_text(name, indented, step))

  def image(self, step: int, name: str, pixels: np.ndarray) -> None:
    """Add a grey image: [height, width] float, 0 for black, 1 for white."""
    self._put(lambda writer: writer.add_image(name, pixels, step, dataformats="HW"))

  def flush(self) -> None:
    """Request that all events so far are written, without waiting."""
    self._put(lambda writer: writer.flush())

  def close(self) -> None:
    """Wait up to `PATIENCE` for the last events."""
    self._put(None)
    self._thread.join(PATIENCE)
    if self.dropped or self._thread.is_alive():
      print(
        f"warning: {self._name} missed {self.dropped or 'some'} events; metrics.jsonl "
        f"has them all.",
        file=sys.stderr,
      )

  def _put(self, call: Callable[[Any], None] | None) -> None:
    try:
      self._queue.put_nowait(call)
    except queue.Full:
      self.dropped += 1

  def _work(self, make: Callable[[], Any]) -> None:
    writer = None
    while (call := self._queue.get()) is not None:
      try:
        if writer is None:
          writer = make()
        call(writer)
      except Exception:  # Errors of a board must not stop the training.
        self.dropped += 1
    with contextlib.suppress(Exception):
      if writer is not None:
        writer.close()


def _hide_writer_errors(args: threading.ExceptHookArgs) -> None:
  """Suppress the traceback of tensorboardX's thread; the board prints one line."""
  if not type(args.thread).__module__.startswith("tensorboardX"):
    threading.__excepthook__(args)


def tensorboard(folder: Path, step: int) -> Board:
  """Return a board that writes TensorBoard's event files.

  Args:
    folder: folder of the files.
    step: the step at which the run resumes; later events are hidden.
  """

  def make() -> Any:
    from tensorboardX import SummaryWriter  # Slow to import: not on the main path.

    threading.excepthook = _hide_writer_errors
    return SummaryWriter(
      str(folder),
      purge_step=step + 1 if step else None,
      filename_suffix=f".{secrets.token_hex(8)}",  # No link can lie there beforehand.
    )

  return Board("TensorBoard", make)
