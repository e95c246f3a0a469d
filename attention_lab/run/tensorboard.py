"""What others draw curves from, behind a queue that can never stop the training.

When the disk is full, tensorboardX's writer thread dies and its calls block for ever.
So a thread of ours makes those calls, and what it does not get through is dropped.
"""

import contextlib
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CAPACITY = 1000  # Events that may wait.
PATIENCE = 10.0  # Seconds that closing waits for the last events.


class Board:
  """Hands scalars, texts and images to a writer.

  Args:
    name: whose writer it is, for messages.
    make: makes the writer, on the board's own thread. It has the methods of
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
    """Adds one point to each curve."""
    for name, value in values.items():
      self._put(lambda w, n=name, v=value: w.add_scalar(n, v, step))  # type: ignore[misc]

  def text(self, step: int, name: str, text: str) -> None:
    """Adds a text, shown as it is."""
    indented = "\n".join("    " + line for line in text.split("\n"))
    self._put(lambda writer: writer.add_text(name, indented, step))

  def image(self, step: int, name: str, pixels: np.ndarray) -> None:
    """Adds a grey image: [height, width] float, 0 black to 1 white."""
    self._put(lambda writer: writer.add_image(name, pixels, step, dataformats="HW"))

  def flush(self) -> None:
    """Asks for all events so far to be written; waits for nothing."""
    self._put(lambda writer: writer.flush())

  def close(self) -> None:
    """Waits a while for the last events, then gives up on them."""
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
      except Exception:  # Whatever goes wrong here must not reach the training.
        self.dropped += 1
    with contextlib.suppress(Exception):
      if writer is not None:
        writer.close()


def _tell_of_others(args: threading.ExceptHookArgs) -> None:
  """Leaves out the trace of tensorboardX's thread, of which the board tells in a line."""
  if not type(args.thread).__module__.startswith("tensorboardX"):
    threading.__excepthook__(args)


def tensorboard(folder: Path, step: int) -> Board:
  """A board that writes TensorBoard's event files.

  Args:
    folder: where they go.
    step: the step that the run goes on from; later events are hidden.
  """

  def make() -> Any:
    from tensorboardX import SummaryWriter  # Slow to import: not on the main path.

    threading.excepthook = _tell_of_others
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)

  return Board("TensorBoard", make)
