"""Starts one run in several processes: by flags, or under Slurm or Open MPI."""

import contextlib
import json
import secrets
import socket
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from attention_lab.distributed.group import Group
from attention_lab.distributed.join import join, join_as_first, listen
from attention_lab.errors import UserError, one_line
from attention_lab.system.code_hash import code_hashes
from attention_lab.system.versions import all_versions

# Settings that may differ between processes: paths and time limits.
OWN = ("data_dir", "compile_cache", "plugins", "processes.")
HEARTBEAT = 100  # Seconds until JAX itself detects a lost process; the group is faster.
SHUTDOWN = 5  # Time limit of JAX's shutdown, in seconds.
SETTLE = 3.0  # Seconds to wait for the cause of a broken collective.
CARD = 1024  # Bytes of the message with the first process's address.

_current = Group()


def current() -> Group:
  """Return the processes of this run; by default this one alone."""
  return _current


class Patience(NamedTuple):
  """Time limits of the processes, in seconds."""

  join: float  # To wait for each other at the start.
  lag: float  # For which a process may be silent or late.


class Place(NamedTuple):
  """Number of a process, and how to reach the first one."""

  id: int
  num: int  # Number of processes.
  coordinator: str = ""  # HOST:PORT; "" if the launcher provides it.


def place(
  coordinator: str | None,
  num_processes: str | None,
  process_id: str | None,
  environment: Mapping[str, str],
) -> Place | None:
  """Return the place given by the flags or the launcher; None for a single process.

  Raises:
    UserError: the flags are incomplete or invalid.
  """
  given = (coordinator, num_processes, process_id)
  if coordinator is None or num_processes is None or process_id is None:
    if given != (None, None, None):
      raise UserError(
        "--coordinator=HOST:PORT, --num_processes=N and --process_id=I go together; "
        "under Slurm's srun or Open MPI's mpirun none of them is needed."
      )
    return _launched(environment)
  host, _, port = coordinator.rpartition(":")
  if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 2**16):
    raise UserError(
      f"--coordinator={coordinator}: take process 0's host and a free port: HOST:PORT."
    )
  count = _whole("num_processes", num_processes)
  index = _whole("process_id", process_id)
  if count < 1:
    raise UserError(f"--num_processes={count}: take 1 or more.")
  if index >= count:
    raise UserError(
      f"--process_id={index}: {count} processes are numbered from 0 to {count - 1}."
    )
  return Place(index, count, coordinator) if count > 1 else None


def _whole(flag: str, text: str) -> int:
  if not (text.isascii() and text.isdigit()):
    raise UserError(f"--{flag}={text}: expected a whole number, 0 or more.")
  return int(text)


def _launched(environment: Mapping[str, str]) -> Place | None:
  """Return the place of one of several tasks of Slurm or Open MPI."""
  for count, index in (
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),  # Not set in a batch script itself.
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
  ):
    if int(environment.get(count, 1)) > 1 and index in environment:
      return Place(int(environment[index]), int(environment[count]))
  return None


@contextlib.contextmanager
def joined(place: Place | None, join: float, lag: float) -> Iterator[Group]:
  """Join the processes of a run, which all leave this context together.

  An error that ends one process ends all of them.

  Args:
    place: this process's place among them; None if it is alone.
    join: seconds to wait for the others at the start.
    lag: seconds that a process may be silent or late.

  Raises:
    UserError: the other processes were not found.
  """
  global _current  # noqa: PLW0603  (as JAX's own group of processes is)
  if place is None:
    yield _current
    return
  group = _current = _start(place, Patience(join, lag))
  try:
    yield group
  except UserError as error:
    line = " ".join(str(error).split())
    group.end(line, 2, others=f"process {group.index}: {line}")
  except BaseException as error:
    _wait_for_cause(error)
    traceback.print_exc()
    group.end("", 1, others=f"process {group.index}: {one_line(error)}")
  group.leave(_shutdown)


def agree(group: Group, settings: Mapping[str, Any]) -> None:
  """Compare settings, code and devices; all plugins have to be loaded.

  Args:
    group: the processes.
    settings: this process's settings, by "section.key".

  Raises:
    UserError: a process differs from the first; raised on all of them.
  """
  import jax

  own = {
    f"--config.{key}": value
    for key, value in settings.items()
    if not key.startswith(OWN)
  }
  refuse_differences(group, "settings", own)
  refuse_differences(group, "code", code_hashes())
  kinds = [device.device_kind for device in jax.local_devices()]
  refuse_differences(group, "devices", {"local devices": kinds})


def refuse_differences(group: Group, what: str, own: Mapping[str, Any]) -> None:
  """Raise `UserError` on all processes if one has other values than the first."""
  first, *others = group.gather(f"the comparison of {what}", dict(own))
  for i, other in enumerate(others, 1):
    keys = [key for key in {**first, **other} if first.get(key) != other.get(key)]
    if keys:
      listed = "; ".join(
        f"{key}: {_short(first.get(key))} in process 0, {_short(other.get(key))} in "
        f"process {i}"
        for key in keys[:3]
      )
      more = f"; and {len(keys) - 3} more" * (len(keys) > 3)
      raise UserError(
        f"The processes differ in their {what}: {listed}{more}. Start all with the same."
      )


def _short(value: Any) -> str:
  """Return a value for a message; a hash is shortened."""
  hashed = isinstance(value, str) and len(value) == 64
  return value[:12] if hashed else json.dumps(value)


def _start(place: Place, patience: Patience) -> Group:
  import jax  # Slow to import, so only after the flags are read.

  # The service would intercept SIGTERM, which the training loop handles.
  jax.config.update("jax_enable_preemption_service", False)
  if place.coordinator:
    return _by_flags(place, patience)
  jax.distributed.initialize(**_timeouts(patience))
  group = _by_launcher(patience)
  refuse_differences(group, "versions", all_versions())
  return group


def _timeouts(patience: Patience) -> dict[str, Any]:
  return {
    "initialization_timeout": patience.join,
    "heartbeat_timeout_seconds": HEARTBEAT,
    "shutdown_timeout_seconds": SHUTDOWN,
  }


def _by_flags(place: Place, patience: Patience) -> Group:
  """Connect the processes, then start JAX's service on a port of its own.

  JAX crashes a process that it cannot reach, so they are connected first.
  """
  import jax

  host, _, port = place.coordinator.rpartition(":")
  host = host.removeprefix("[").removesuffix("]")
  index, count, within, lag = place.id, place.num, patience.join, patience.lag
  if index == 0:
    group = join_as_first(listen(host, int(port)), count, within, lag)
  else:
    group = join([host], int(port), index, count, within, lag)
  refuse_differences(group, "versions", all_versions())
  port_of_jax = int(
    group.share("the start of JAX", lambda: str(_free_port(host)).encode())
  )
  address = f"[{host}]:{port_of_jax}" if ":" in host else f"{host}:{port_of_jax}"
  jax.distributed.initialize(
    address,
    count,
    index,
    coordinator_bind_address=address,
    **_timeouts(patience),
  )
  return group


def _free_port(host: str) -> int:
  with listen(host, 0) as server:
    port: int = server.getsockname()[1]
  return port


def _by_launcher(patience: Patience) -> Group:
  """Connect the processes that JAX has found: the first broadcasts its address."""
  import jax
  from jax.experimental import multihost_utils

  index, count = jax.process_index(), jax.process_count()
  server = listen("", 0) if index == 0 else None
  card = np.zeros(CARD, np.uint8)
  if server:
    secret, port = secrets.token_hex(8), server.getsockname()[1]
    text = json.dumps([secret, port, *_addresses()]).encode()[:CARD]
    card[: len(text)] = np.frombuffer(text, np.uint8)
  card = np.asarray(multihost_utils.broadcast_one_to_all(card))
  secret, port, *hosts = json.loads(bytes(card).rstrip(b"\0"))
  if server:
    return join_as_first(server, count, patience.join, patience.lag, secret)
  return join(hosts, port, index, count, patience.join, patience.lag, secret)


def _addresses() -> list[str]:
  """Return the addresses of this machine, for other machines and for itself."""
  name = socket.gethostname()
  found = [name]
  with contextlib.suppress(OSError):
    found += [str(entry[4][0]) for entry in socket.getaddrinfo(name, None)]
  return [*dict.fromkeys(found), "127.0.0.1"]


def _wait_for_cause(error: BaseException) -> None:
  """Give the group time to report the lost process that broke a collective."""
  import jax

  if isinstance(error, jax.errors.JaxRuntimeError):
    time.sleep(SETTLE)


def _shutdown() -> None:
  import jax

  sys.stdout.flush()
  jax.distributed.shutdown()
