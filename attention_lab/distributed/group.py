"""The processes of a run: they meet, share and decide as one, and end as one."""

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

from attention_lab.distributed.wire import Identity, Link, Message, Stranger

# Seconds that something may take of which nobody knows how long it should: compiling,
# data that is prepared, a checkpoint on a slow disk.
UNHURRIED = 3600.0
CALL = 600.0  # That a call of the update may take, which is over in half a second.
AGAIN = (
  "All processes end. Start all of them again with the same command: the run goes on "
  "from its last checkpoint."
)


class Peer(NamedTuple):
  """Another process, and the connection to it."""

  link: Link
  identity: Identity


class Busy(NamedTuple):
  """What a process is doing, and how many seconds of it are nothing to worry about."""

  what: str
  patience: float
  since: float


class Group:
  """This process among the others; alone, by default.

  All processes call `exchange` and what rests on it in the same order. The first one is
  connected with every other. A process that has ended, says nothing or keeps the others
  waiting ends all of them, with a line that names it.

  Args:
    index: this process's number; that of the first is 0.
    count: how many there are.
    peers: to whom this one is connected, by number.
    lag: seconds that a process may be silent, or late where the others wait for it.
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
    self._waits: tuple[int, str, float] | None = None  # For whom, where, since when.
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
    """Waits for all processes; returns what each of them brought, by number.

    Args:
      what: where they meet, the same for all; said to people where one does not come.
      content: what this process brings.
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
    """`exchange` of values that JSON can tell."""
    return list(map(json.loads, self.exchange(what, json.dumps(value).encode())))

  def share(self, what: str, make: Callable[[], bytes]) -> bytes:
    """What the first process makes, for all."""
    return self.exchange(what, make() if self.first else b"")[0]

  def highest(self, what: str, number: int) -> int:
    """The highest of the processes' numbers."""
    if self.count == 1:
      return number
    return int(max(self.gather(what, number)))

  @contextlib.contextmanager
  def busy(self, what: str, patience: float = UNHURRIED) -> Iterator[None]:
    """While entered, this process may take `patience` seconds before anyone worries."""
    before, self._own = self._own, Busy(what, patience, time.monotonic())
    try:
      yield
    finally:
      self._own = before._replace(since=time.monotonic())

  def begin(self) -> None:
    """From now on nobody may be late by more than `lag`, but where `busy` says so."""
    self._own = Busy("between two steps", self._lag, time.monotonic())

  def end(
    self, line: str, status: int, told: str | None = None, kill: int | None = None
  ) -> NoReturn:
    """Ends this process, and the others with it; of several causes the first one counts.

    Args:
      line: what happened, for this process's standard error; "" where it is told there.
      status: the exit status.
      told: the same for the others, where it is another line.
      kill: the pid of another process that cannot end itself.
    """
    if not self._ending.acquire(blocking=False):
      threading.Event().wait()  # Another thread is about to end the process.
    if line:
      print(f"error: {line}", file=sys.stderr)
    for rank in self._peers:
      self._send(rank, "failed", line=line if told is None else told, status=status)
    if kill is not None:
      with contextlib.suppress(OSError):
        os.kill(kill, signal.SIGKILL)
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(0.2)  # What was sent shall arrive; a closed connection may overtake it.
    os._exit(status)

  def leave(self, finish: Callable[[], None]) -> None:
    """Lets go of the others, once all have come here.

    Args:
      finish: what all do before they part.
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
    """Sends; whether the other side is still there is for `_read` and `_watch` to say."""
    with contextlib.suppress(OSError):
      self._peers[rank].link.send(kind, body, **about)

  def _await(self, rank: int, what: str, start: float) -> Message:
    self._waits = rank, what, start
    message = self._inbox[rank].get()
    self._waits = None
    if message.about["what"] != what:
      self.end(
        f"process {rank} came to {message.about['what']!r} where process {self.index} "
        f"came to {what!r}: they do not run the same. {AGAIN}",
        1,
      )
    self._own = self._own._replace(since=time.monotonic())
    return message

  def _read(self, rank: int) -> None:
    """Takes in what a process sends, until it says goodbye."""
    link = self._peers[rank].link
    message = None
    with contextlib.suppress(OSError, Stranger):
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
        f"process {rank} ended without saying why: killed, or out of memory? {AGAIN}", 1
      )

  def _watch(self) -> None:
    """Tells the others that this process lives, and looks whether they do."""
    interval = min(1.0, self._lag / 5)
    last = time.monotonic()
    while not self._left.wait(interval):
      # Should this very thread be kept from running, Python cannot end the process.
      faulthandler.dump_traceback_later(self._lag + 5, exit=True)
      waits, own, now = self._waits, self._own, time.monotonic()
      what = f"waiting for process {waits[0]}" if waits else own.what
      patience = UNHURRIED if waits else own.patience
      for rank in self._peers:
        self._send(rank, "busy", what=what, patience=patience)
      overslept, last = now - last > self._lag / 2, now
      if not overslept:  # Else this process was held up: the others get their chance.
        self._look(now)

  def _look(self, now: float) -> None:
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
          f"process {rank} did not come to {where} for {late:.0f} s (--config.processes."
          f"lag={self._lag:g}); it was {busy.what}. {AGAIN}",
          1,
        )
    elif own.patience > self._lag and now - own.since > own.patience:
      self.end(
        f"process {self.index} has been {own.what} for {own.patience:.0f} s. {AGAIN}",
        1,
      )


def in_step(group: Group, call: Callable[..., Any]) -> Callable[..., Any]:
  """`call`, a computation over all processes, for which they wait for each other."""

  def run(*arguments: Any) -> Any:
    group.exchange("an evaluation")
    with group.busy("evaluating"):
      return call(*arguments)

  return call if group.count == 1 else run
