"""The processes of a run: exchange of data, common decisions, and a common end."""

import contextlib
import faulthandler
import itertools
import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

from attention_lab.distributed.wire import ForeignMessage, Identity, Link, Message

# Time limit, in seconds, of work of unknown duration: compiling, preparing data, writing
# a checkpoint to a slow disk.
UNHURRIED = 3600.0
CALL = 600.0  # Time limit of a call of the update, which usually takes half a second.
AGAIN = (
  "All processes end. Start all of them again with the same command: the run resumes "
  "from its last checkpoint."
)


class Peer(NamedTuple):
  """Another process, and the connection to it."""

  link: Link
  identity: Identity


class Busy(NamedTuple):
  """Current work of a process, and its time limit in seconds."""

  what: str
  patience: float
  since: float


class Group:
  """This process among those of one run; by default it is alone.

  All processes call `exchange`, and the methods that use it, in the same order. The first
  process is connected to every other. If a process ends, is silent or is late, all of them
  end with a message that names it.

  Args:
    index: number of this process; the first has 0.
    count: number of processes.
    peers: connected processes, by number.
    lag: seconds that a process may be silent, or late when the others wait for it.
  """

  def __init__(
    self,
    index: int = 0,
    count: int = 1,
    peers: Mapping[int, Peer] = MappingProxyType({}),
    lag: float = 20.0,
  ):
    self.index = index
    self.count = count
    self._peers = peers
    self._lag = lag
    self._inbox: dict[int, queue.Queue[Message]] = {
      rank: queue.Queue() for rank in peers
    }
    self._busy = {rank: Busy("starting", UNHURRIED, 0.0) for rank in peers}
    self._own = Busy("starting", UNHURRIED, time.monotonic())
    # Process that this one waits for, name of the exchange, and start of the wait.
    self._waits: tuple[int, str, float] | None = None
    self._ending = threading.Lock()
    self._left = threading.Event()
    for rank in peers:
      threading.Thread(target=self._read, args=(rank,), daemon=True).start()
    if peers:
      threading.Thread(target=self._watch, daemon=True).start()

  @property
  def first(self) -> bool:
    """Whether this process is the one that writes and decides."""
    return self.index == 0

  def exchange(self, what: str, content: bytes = b"") -> list[bytes]:
    """Wait for all processes, and return the content of each, by number.

    Args:
      what: name of the exchange, the same on all processes; used in messages.
      content: content of this process.
    """
    if self.count == 1:
      return [content]
    start = time.monotonic()
    if not self.first:
      self._send(0, "meet", content, what=what)
      met = self._await(0, what, start)
      ends = itertools.accumulate(met.about["sizes"], initial=0)
      return [met.body[a:b] for a, b in itertools.pairwise(ends)]
    contents = [content]
    for rank in sorted(self._peers):
      contents.append(self._await(rank, what, start).body)
    together, sizes = b"".join(contents), list(map(len, contents))
    for rank in self._peers:
      self._send(rank, "met", together, what=what, sizes=sizes)
    return contents

  def gather(self, what: str, value: Any) -> list[Any]:
    """Exchange values that JSON can represent."""
    return list(map(json.loads, self.exchange(what, json.dumps(value).encode())))

  def share(self, what: str, make: Callable[[], bytes]) -> bytes:
    """Return what the first process makes, on all processes."""
    return self.exchange(what, make() if self.first else b"")[0]

  def highest(self, what: str, number: int) -> int:
    """Return the highest of the numbers of all processes."""
    if self.count == 1:
      return number
    return int(max(self.gather(what, number)))

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

  def end(
    self, line: str, status: int, others: str | None = None, kill: int | None = None
  ) -> NoReturn:
    """End this process and all others; the first of several causes is reported.

    Args:
      line: message for standard error; "" if it has been printed.
      status: exit status.
      others: message for the other processes, if it differs.
      kill: pid of another process that cannot end itself.
    """
    if not self._ending.acquire(blocking=False):
      threading.Event().wait()  # Another thread is about to end the process.
    if line:
      print(f"error: {line}", file=sys.stderr)
    for rank in self._peers:
      self._send(rank, "failed", line=line if others is None else others, status=status)
    if kill is not None:
      with contextlib.suppress(OSError):
        os.kill(kill, signal.SIGKILL)
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(0.2)  # Closing a connection may discard what was sent.
    os._exit(status)

  def leave(self, finish: Callable[[], None]) -> None:
    """Leave the group once all processes have called this.

    Args:
      finish: called by all processes before they leave.
    """
    with self.busy("ending"):
      self.exchange("the end")
      finish()
    self._left.set()
    faulthandler.cancel_dump_traceback_later()
    for rank, peer in self._peers.items():
      self._send(rank, "bye")
      peer.link.close()

  def _send(self, rank: int, kind: str, body: bytes = b"", **about: Any) -> None:
    """Send a message; a lost peer is detected by `_read` and `_watch`."""
    with contextlib.suppress(OSError):
      self._peers[rank].link.send(kind, body, **about)

  def _await(self, rank: int, what: str, start: float) -> Message:
    self._waits = rank, what, start
    message = self._inbox[rank].get()
    self._waits = None
    if message.about["what"] != what:
      self.end(
        f"process {rank} is at {message.about['what']!r} but process {self.index} is at "
        f"{what!r}: they do not run the same program. {AGAIN}",
        1,
      )
    self._own = self._own._replace(since=time.monotonic())
    return message

  def _read(self, rank: int) -> None:
    """Receive the messages of a process until it leaves."""
    link = self._peers[rank].link
    message = None
    with contextlib.suppress(OSError, ForeignMessage):
      while message := link.receive():
        if message.kind == "bye":
          return
        if message.kind == "failed":
          self.end(message.about["line"], message.about["status"])
        if message.kind == "busy":
          what, patience = message.about["what"], message.about["patience"]
          if self._busy[rank][:2] != (what, patience):
            self._busy[rank] = Busy(what, patience, time.monotonic())
        else:
          self._inbox[rank].put(message)
    if not self._left.is_set():
      self.end(
        f"process {rank} ended without a message: killed, or out of memory? {AGAIN}", 1
      )

  def _watch(self) -> None:
    """Send heartbeats to the other processes, and check theirs."""
    interval = min(1.0, self._lag / 5)
    last = time.monotonic()
    while not self._left.wait(interval):
      # If this thread cannot run, faulthandler ends the process instead of Python.
      faulthandler.dump_traceback_later(self._lag + 5, exit=True)
      waits, own, now = self._waits, self._own, time.monotonic()
      what = f"waiting for process {waits[0]}" if waits else own.what
      patience = UNHURRIED if waits else own.patience
      for rank in self._peers:
        self._send(rank, "busy", what=what, patience=patience)
      suspended, last = now - last > self._lag / 2, now
      if not suspended:  # After a suspension the times of the peers are outdated.
        self._check_peers(now)

  def _check_peers(self, now: float) -> None:
    """End all processes if one is silent or late."""
    for rank, peer in self._peers.items():
      if now - peer.link.heard > self._lag:
        # A stopped process cannot end itself, but another one on its machine can end it.
        self.end(
          f"process {rank} has not answered for {self._lag:g} s "
          f"(--config.processes.lag): stopped, or disconnected? {AGAIN}",
          1,
          kill=peer.identity.pid if peer.identity.is_near() else None,
        )
    waits, own = self._waits, self._own
    if waits:
      rank, where, since = waits
      busy = self._busy[rank]
      late = now - max(since, busy.since)
      if late > busy.patience:
        self.end(
          f"process {rank} did not reach {where} for {late:.0f} s (--config.processes."
          f"lag={self._lag:g}); it was {busy.what}. {AGAIN}",
          1,
        )
    elif own.patience > self._lag and now - own.since > own.patience:
      self.end(
        f"process {self.index} has been {own.what} for {own.patience:.0f} s. {AGAIN}",
        1,
      )


def in_step(group: Group, call: Callable[..., Any]) -> Callable[..., Any]:
  """Return `call`, before which all processes wait for each other."""

  def run(*arguments: Any) -> Any:
    group.exchange("an evaluation")
    with group.busy("evaluating"):
      return call(*arguments)

  return call if group.count == 1 else run
