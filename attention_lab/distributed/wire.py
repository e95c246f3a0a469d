"""Messages between two processes over TCP: a head in JSON, and a body of bytes."""

import json
import os
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any, NamedTuple

SIZES = struct.Struct(">IQ")  # Sizes of head and body, which precede them.
LONGEST_HEAD = 1 << 16  # A longer head is not from a process of this run.
SEND_SECONDS = 10  # Time limit of a send to a peer that does not receive.
CHUNK = 1 << 20


class Message(NamedTuple):
  """A message: its kind, the other fields of its head, and its body."""

  kind: str
  about: dict[str, Any]
  body: bytes


class ForeignMessage(Exception):
  """The data received is not a message of this protocol."""


class Link:
  """A connection to another process; several threads may send, one receives.

  Args:
    connection: a connected TCP socket.
  """

  def __init__(self, connection: socket.socket):
    self._connection = connection
    self._sending = threading.Lock()
    self.heard = time.monotonic()  # Time of the last data received.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wait = struct.pack("ll", SEND_SECONDS, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, wait)

  def send(self, kind: str, body: bytes = b"", **about: Any) -> None:
    """Send a message; raise `OSError` if the peer is disconnected or does not receive."""
    head = json.dumps({"kind": kind, **about}).encode()
    with self._sending:
      self._connection.sendall(SIZES.pack(len(head), len(body)) + head)
      self._connection.sendall(body)

  def receive(self, within: float | None = None) -> Message | None:
    """Return the next message; None if the peer has closed the connection.

    Args:
      within: time limit in seconds for a peer that is not known yet, whose message must
        have no body; None for no limit.

    Raises:
      OSError: the connection broke, or the time limit passed.
      ForeignMessage: the data is not a message.
    """
    self._connection.settimeout(within)
    try:
      sizes = self._exactly(SIZES.size)
      if sizes is None:
        return None
      head_size, body_size = SIZES.unpack(sizes)
      if head_size > LONGEST_HEAD or (within is not None and body_size):
        raise ForeignMessage
      head, body = self._exactly(head_size), self._exactly(body_size)
    finally:
      if within is not None:
        self._connection.settimeout(None)
    if head is None or body is None:
      return None
    try:
      about = json.loads(head)
    except ValueError:
      raise ForeignMessage from None
    if not (isinstance(about, dict) and isinstance(about.get("kind"), str)):
      raise ForeignMessage
    return Message(about.pop("kind"), about, bytes(body))

  def close(self) -> None:
    """Close the connection."""
    self._connection.close()

  def _exactly(self, count: int) -> bytearray | None:
    """Receive `count` bytes; return None if the connection ends before them."""
    found = bytearray()
    while len(found) < count:
      more = self._connection.recv(min(CHUNK, count - len(found)))
      if not more:
        return None
      self.heard = time.monotonic()
      found += more
    return found


class Identity(NamedTuple):
  """Identity of a process for others on the same machine."""

  pid: int
  space: str  # The machine's boot id and the namespace of the pid.

  @classmethod
  def own(cls) -> "Identity":
    """Return the identity of this process."""
    try:
      boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
      return cls(os.getpid(), f"{boot} {os.readlink('/proc/self/ns/pid')}")
    except OSError:  # Not Linux: same machine cannot be established.
      return cls(os.getpid(), "")

  def is_near(self) -> bool:
    """Return whether its pid is valid in this process's namespace too."""
    return bool(self.space) and self.space == Identity.own().space
