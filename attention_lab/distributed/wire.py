"""Messages between two processes: a head in JSON and bytes, over a TCP connection."""

import json
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

SIZES = struct.Struct(">IQ")  # Bytes of the head and of the body, before them.
LONGEST_HEAD = 1 << 16  # What is longer comes from a stranger.
SEND_SECONDS = 10  # That a send may wait for the other side to take anything.
CHUNK = 1 << 20


class Message(NamedTuple):
  """What one process tells another."""

  kind: str
  about: dict[str, Any]
  body: bytes


class Stranger(Exception):
  """What came is no message of ours."""


class Link:
  """A connection to another process; several threads may send, one receives.

  Args:
    connection: a connected TCP socket.
  """

  def __init__(self, connection: socket.socket):
    self._connection = connection
    self._sending = threading.Lock()
    self.heard = time.monotonic()  # When anything came last.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wait = struct.pack("ll", SEND_SECONDS, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)

  def send(self, kind: str, body: bytes = b"", **about: Any) -> None:
    """Sends a message; raises OSError where the other side is gone or takes nothing."""
    head = json.dumps({"kind": kind, **about}).encode()
    with self._sending:
      self._connection.sendall(SIZES.pack(len(head), len(body)) + head)
      self._connection.sendall(body)

  def receive(self, within: float | None = None) -> Message | None:
    """The next message; None where the other side has closed the connection.

    Args:
      within: seconds that it may take, of a stranger, who has no business with a body;
        None for ever.

    Raises:
      OSError: the connection broke, or nothing came in time.
      Stranger: it is no message.
    """
    self._connection.settimeout(within)
    try:
      sizes = self._exactly(SIZES.size)
      if sizes is None:
        return None
      of_head, of_body = SIZES.unpack(sizes)
      if of_head > LONGEST_HEAD or (within is not None and of_body):
        raise Stranger
      head, body = self._exactly(of_head), self._exactly(of_body)
    finally:
      if within is not None:
        self._connection.settimeout(None)
    if head is None or body is None:
      return None
    try:
      about = json.loads(head)
    except ValueError:
      raise Stranger from None
    if not (isinstance(about, dict) and isinstance(about.get("kind"), str)):
      raise Stranger
    return Message(about.pop("kind"), about, bytes(body))

  def close(self) -> None:
    """Closes the connection."""
    self._connection.close()

  def _exactly(self, count: int) -> bytearray | None:
    """So many bytes; None where the connection ends before."""
    found = bytearray()
    while len(found) < count:
      more = self._connection.recv(min(CHUNK, count - len(found)))
      if not more:
        return None
      self.heard = time.monotonic()
      found += more
    return found


class Identity(NamedTuple):
  """A process, as others on the same machine may know it."""

  pid: int
  space: str  # The machine's boot and the namespace in which the pid counts.

  @classmethod
  def own(cls) -> "Identity":
    """This process's."""
    try:
      boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
      return cls(os.getpid(), f"{boot} {os.readlink('/proc/self/ns/pid')}")
    except OSError:  # No Linux: nobody is known to be on the same machine.
      return cls(os.getpid(), "")

  def is_near(self) -> bool:
    """Whether its pid names it here, too."""
    return bool(self.space) and self.space == Identity.own().space
