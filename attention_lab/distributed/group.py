"""The processes of a run: collectives on the host, a watchdog, and a common end."""

import contextlib
import faulthandler
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import numpy as np

from attention_lab.distributed import service
from attention_lab.errors import print_error

# Time limit, in seconds, of work of unknown duration: compiling, preparing data, writing
# a checkpoint to a slow disk, waiting for a process that does so.
UNHURRIED = 3600.0
CALL = 600.0  # Time limit of a call of the update, which usually takes half a second.
# Seconds beyond the lag after which faulthandler ends a blocked interpreter.
HELD = 5.0
ROLL_CALL = 5.0  # Seconds in which each process confirms that it runs.
LINGER = 1.0  # Seconds in which process 0 passes on the cause of the end.
PIECE = 1 << 22  # Largest size of a broadcast, in bytes.
AGAIN = (
  "All processes end. Start all of them again with the same command: the run resumes "
  "from its last checkpoint."
)
# Keys of the coordination service.
CAUSE, VERDICT, RUNNING = "lab/cause", "lab/verdict", "lab/running"


class Busy(NamedTuple):
  """Current work of this process, and its time limit in seconds."""

  what: str
  patience: float
  since: float


class Group:
  """This process among those of one run; by default it is alone.

  All processes call `highest`, `gather` and `share` in the same order. If a process fails,
  is late or is lost, all end with the cause.

  Args:
    index: number of this process; the first has 0.
    count: number of processes.
    lag: seconds that a process may be late.
  """

  def __init__(self, index: int = 0, count: int = 1, lag: float = 20.0):
    self.index, self.count = index, count
    self._lag = lag
    self._own = Busy("starting", UNHURRIED, time.monotonic())
    self._ending = threading.Lock()
    self._left = threading.Event()
    self._listener = threading.Thread(target=self._listen, daemon=True)
    self._watcher = threading.Thread(target=self._watch, daemon=True)
    if count > 1:
      self._listener.start()
      self._watcher.start()

  @property
  def first(self) -> bool:
    """Whether this process is the one that writes and decides."""
    return self.index == 0

  def highest(self, number: int) -> int:
    """Return the highest of the numbers of all processes."""
    if self.count == 1:
      return number
    return int(self._gathered(np.int32(number)).max())

  def gather(self, content: bytes) -> list[bytes]:
    """Return the contents of all processes, by number; all have the same size."""
    if self.count == 1:
      return [content]
    return [row.tobytes() for row in self._gathered(np.frombuffer(content, np.uint8))]

  def share(self, make: Callable[[], bytes], source: int = 0) -> bytes:
    """Return what one process makes, on all processes."""
    if self.count == 1:
      return make()
    content = make() if self.index == source else b""
    high, low = self._broadcast(
      np.array(divmod(len(content), PIECE), np.uint32), source
    )
    size = int(high) * PIECE + int(low)
    # Few programs: sizes are powers of two. Bits: -0.0 + 0.0 is 0.0, and sums broadcast.
    piece = min(PIECE, 1 << max(8, (size - 1).bit_length()))
    found = bytearray()
    for start in range(0, size, piece):
      padded = content[start : start + piece].ljust(piece, b"\0")
      found += self._broadcast(np.frombuffer(padded, np.uint32), source).tobytes()
    return bytes(found[:size])

  @contextlib.contextmanager
  def busy(self, what: str, patience: float = UNHURRIED) -> Iterator[None]:
    """Give this process a time limit of `patience` seconds in a context."""
    before, self._own = self._own, Busy(what, patience, time.monotonic())
    try:
      yield
    finally:
      self._own = before._replace(since=time.monotonic())

  def begin(self) -> None:
    """Apply the time limit `lag` from now on, except within `busy`."""
    self._own = Busy("between two steps", self._lag, time.monotonic())

  def end(self, line: str, status: int, others: str | None = None) -> NoReturn:
    """End this process and all others.

    Args:
      line: message for standard error; "" if it has been printed.
      status: exit status.
      others: message for the other processes, if it differs.
    """
    if not self._ending.acquire(blocking=False):
      threading.Event().wait()  # Another thread is about to end the process.
    if line:
      print_error(line)
    text = json.dumps({"line": line if others is None else others, "status": status})
    _ = service.put(CAUSE, text) or service.put(VERDICT, text)
    sys.stdout.flush()
    if self.first:
      time.sleep(LINGER)
    os._exit(status)

  def find_lost(self, line: str) -> None:
    """End all with the processes that do not run any more; with `line` if all run."""
    service.put(CAUSE, json.dumps({"suspicion": line}))
    with self.busy("waiting for the cause of the end"):
      time.sleep(2 * ROLL_CALL)

  def leave(self) -> None:
    """Leave the group once all processes have called this."""
    import jax

    with self.busy("ending"):
      self.highest(0)
      if self.first:
        service.put(CAUSE, "{}")
      self._listener.join()
      sys.stdout.flush()
      jax.distributed.shutdown()
    self._left.set()
    self._watcher.join()  # It cancels faulthandler's timer.

  def _gathered(self, own: Any) -> np.ndarray:
    from jax.experimental import multihost_utils

    with self.busy("waiting for the other processes"):
      return np.asarray(multihost_utils.process_allgather(own))

  def _broadcast(self, own: np.ndarray, source: int) -> np.ndarray:
    from jax.experimental import multihost_utils

    with self.busy("waiting for the other processes"):
      found = multihost_utils.broadcast_one_to_all(own, self.index == source)
    return np.asarray(found)

  def _listen(self) -> None:
    """Wait for the cause of the end, and end this process with it."""
    try:
      cause = json.loads(service.get(CAUSE))
      if "suspicion" in cause:
        service.put(f"{RUNNING}/{self.index}", "")
        if self.first:
          self._report_lost(cause["suspicion"])
        cause = json.loads(service.get(VERDICT))
    except RuntimeError:
      cause = {"line": f"process 0 ended or cannot be reached. {AGAIN}", "status": 1}
    if cause:
      self.end(cause["line"], cause["status"])

  def _report_lost(self, suspicion: str) -> NoReturn:
    """End all, and name the processes that do not confirm that they run."""
    time.sleep(ROLL_CALL)
    running = service.names(RUNNING)
    lost = [str(i) for i in range(self.count) if str(i) not in running]
    which = f"process{'es' * (len(lost) > 1)} {', '.join(lost)}"
    self.end(
      f"{which} ended without a message: killed, or out of memory? {AGAIN}"
      if lost
      else suspicion,
      1,
    )

  def _watch(self) -> None:
    """End all processes if this one is late."""
    left = False
    while not left:
      # If this thread cannot run, faulthandler ends the process instead of Python.
      faulthandler.dump_traceback_later(self._lag + HELD, exit=True)
      own = self._own
      if time.monotonic() - own.since > own.patience:
        faulthandler.dump_traceback()
        self.end(
          f"process {self.index} has been {own.what} for {own.patience:g} s "
          f"(--config.processes.lag={self._lag:g}). {AGAIN}",
          1,
        )
      left = self._left.wait(min(1.0, self._lag / 5))
    faulthandler.cancel_dump_traceback_later()
