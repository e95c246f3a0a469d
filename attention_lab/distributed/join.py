"""Connects the processes of a run: all connect to the address of the first."""

import contextlib
import socket
import time
from collections.abc import Sequence

from attention_lab.distributed.group import Group, Peer
from attention_lab.distributed.wire import ForeignMessage, Identity, Link, Message
from attention_lab.errors import UserError

HELLO = "attention_lab 1"  # Protocol name and version.
SHAKE = 5.0  # Time limit of the handshake, in seconds.
LONGER = "--config.processes.join=300 waits longer"


def listen(host: str, port: int) -> socket.socket:
  """Return a socket on which the first process listens; port 0 for a free port.

  Raises:
    UserError: the address is not available.
  """
  try:
    if not host:  # All of this machine's addresses.
      both = socket.has_dualstack_ipv6()
      family = socket.AF_INET6 if both else socket.AF_INET
      return socket.create_server(("", port), family=family, dualstack_ipv6=both)
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    return socket.create_server((host, port), family=family, backlog=1024)
  except OSError as error:
    raise UserError(
      f"--coordinator={host}:{port}: process 0 cannot listen there "
      f"({error.strerror or error}). Name process 0's own host and a free port."
    ) from None


def join_as_first(
  server: socket.socket, count: int, within: float, lag: float, secret: str = ""
) -> Group:
  """Wait for the other processes.

  Args:
    server: from `listen`; it is closed at the end.
    count: number of processes, this one included.
    within: seconds to wait.
    lag: time limit of the group, in seconds.
    secret: secret that the others have to send.

  Raises:
    UserError: a process did not connect, or an unexpected one did. Those that connected
      receive the message.
  """
  deadline, peers = time.monotonic() + within, dict[int, Peer]()
  with server:
    try:
      while len(peers) < count - 1:
        server.settimeout(max(deadline - time.monotonic(), 0.01))
        _greet(server, count, peers, secret)
    except (TimeoutError, UserError) as error:
      missing = [str(i) for i in range(1, count) if i not in peers]
      line = str(error) if isinstance(error, UserError) else (
        f"Of {count} processes {_listed(missing)} did not connect to "
        f"{':'.join(map(str, server.getsockname()[:2]))} within {within:g} s. Start all "
        f"of them, each with its own --process_id; {LONGER}."
      )  # fmt: skip
      for peer in peers.values():
        with contextlib.suppress(OSError):
          peer.link.send("refused", line=line)
      raise UserError(line) from None
  for peer in peers.values():
    with contextlib.suppress(OSError):  # The group detects it.
      peer.link.send("welcome", identity=Identity.own())
  return Group(0, count, peers, lag)


def join(
  hosts: Sequence[str],
  port: int,
  index: int,
  count: int,
  within: float,
  lag: float,
  secret: str = "",
) -> Group:
  """Connect to the first process, which may start later.

  Args:
    hosts: names or addresses of its machine; one of them has to work.
    port: its port.
    index: number of this process.
    count: number of processes.
    within: seconds to try.
    lag: time limit of the group, in seconds.
    secret: the secret of the first process.

  Raises:
    UserError: it does not answer, or refuses this process.
  """
  deadline = time.monotonic() + within
  where = f"{hosts[0]}:{port}"
  connection = _reach(hosts, port, deadline, within)
  link = Link(connection)
  try:
    link.send(
      "hello", says=HELLO, secret=secret, index=index, count=count, who=Identity.own()
    )
    answer = link.receive(within + SHAKE)
  except (OSError, ForeignMessage):
    answer = None
  if answer is None or answer.kind not in ("welcome", "refused"):
    raise UserError(
      f"--coordinator={where}: what listens there is not process 0 of a run, or it ended. "
      f"See the output of process 0."
    )
  if answer.kind == "refused":
    raise UserError(f"process 0 at {where}: {answer.about['line']}")
  first = Peer(link, Identity(*answer.about["identity"]))
  return Group(index, count, {0: first}, lag)


def _reach(
  hosts: Sequence[str], port: int, deadline: float, within: float
) -> socket.socket:
  problem = ""
  while True:
    for host in hosts:
      try:
        connection = socket.create_connection((host, port), timeout=3)
        if connection.getsockname() != connection.getpeername():
          return connection
        connection.close()  # A free local port may have connected to itself.
      except socket.gaierror as error:
        problem = f"the host {host!r} is not known ({error.strerror})"
      except OSError as error:
        problem = error.strerror or str(error)
    if time.monotonic() > deadline:
      raise UserError(
        f"--coordinator={hosts[0]}:{port}: process 0 did not answer within {within:g} s: "
        f"{problem}. Name process 0's host and port, and start process 0; {LONGER}."
      )
    time.sleep(0.1)


def _greet(
  server: socket.socket, count: int, peers: dict[int, Peer], secret: str
) -> None:
  """Accept one connection; foreign ones are closed.

  Raises:
    TimeoutError: no connection within the time limit.
    UserError: a process of this run that is not expected.
  """
  connection, _ = server.accept()
  link = Link(connection)
  try:
    hello = link.receive(SHAKE)
  except (OSError, ForeignMessage):
    hello = None
  if hello is None or not _is_ours(hello, secret):
    link.close()
    return
  index, others = hello.about["index"], hello.about["count"]
  peer = Peer(link, Identity(*hello.about["who"]))
  if others != count:
    peers.setdefault(index, peer)  # It receives the message too.
    raise UserError(
      f"process {index} was started with --num_processes={others}, and process 0 with "
      f"{count}. Give all the same."
    )
  if index in peers:
    with contextlib.suppress(OSError):
      link.send("refused", line=f"there already is a process {index}")
    raise UserError(
      f"--process_id={index} was given to two processes. Give each its own."
    )
  peers[index] = peer


def _is_ours(hello: Message, secret: str) -> bool:
  about = hello.about
  numbers = about.get("index"), about.get("count"), *about.get("who", ())[:1]
  whole = len(numbers) == 3 and all(type(number) is int for number in numbers)
  return whole and (about.get("says"), about.get("secret")) == (HELLO, secret)


def _listed(numbers: Sequence[str]) -> str:
  return f"{'process' if len(numbers) == 1 else 'processes'} {', '.join(numbers)}"
