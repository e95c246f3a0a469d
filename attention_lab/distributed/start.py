"""Starts one run in several processes: by flags, or under Slurm or Open MPI."""

import contextlib
import hashlib
import json
import math
import os
import socket
import threading
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

import numpy as np

from attention_lab.distributed import service
from attention_lab.distributed.group import ROLL_CALL, UNHURRIED, Group
from attention_lab.errors import UserError, one_line, print_error, printable
from attention_lab.system.code_hash import code_hashes
from attention_lab.system.versions import all_versions, installed

# Settings that may differ between processes: paths and time limits.
OWN = ("data_dir", "compile_cache", "plugins", "processes.")
MARGIN = 30.0  # Seconds after which JAX itself gives up, without a line of ours.
SHUTDOWN = 5  # Time limit of JAX's shutdown, in seconds.
HELLO = "lab/hello"  # Key of the coordination service.

_current = Group()


def current() -> Group:
  """Return the processes of this run; by default this one alone."""
  return _current


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
    UserError: process 0 cannot listen at its address.
  """
  global _current  # noqa: PLW0603  (as JAX's own group of processes is)
  if place is None:
    yield _current
    return
  _initialize(place, join, lag)
  group = _current = Group(place.id, place.num, lag)
  try:
    _refuse_other_start(place)
    _connect()
    yield group
  except UserError as error:
    line = printable(str(error))
    group.end(line, 2, others=f"process {group.index}: {line}")
  except BaseException as error:
    traceback.print_exc()
    line = f"process {group.index}: {one_line(error)}"
    if _is_of_jax(error):
      group.find_lost(line)
    group.end("", 1, others=line)
  group.leave()


def agree(group: Group, settings: Mapping[str, Any]) -> None:
  """Compare settings and code; all plugins have to be loaded.

  Args:
    group: the processes.
    settings: this process's settings, by "section.key".

  Raises:
    UserError: a process differs from the first; raised on all of them.
  """
  own = {
    f"--config.{key}": value
    for key, value in settings.items()
    if not key.startswith(OWN)
  }
  refuse_differences(group, "settings", own)
  refuse_differences(group, "code", code_hashes())


def refuse_differences(group: Group, what: str, own: Mapping[str, Any]) -> None:
  """Raise `UserError` on all processes if one has other values than the first.

  Hashes are compared; the values are exchanged only if these differ.
  """
  text = json.dumps(dict(own)).encode()
  hashes = group.gather(hashlib.sha256(text).digest())
  other = next((i for i, each in enumerate(hashes) if each != hashes[0]), None)
  if other is not None:
    pair = (json.loads(group.share(lambda: text, source)) for source in (0, other))
    raise _difference(what, other, *pair)


def _difference(
  what: str, index: int, first: Mapping[str, Any], other: Mapping[str, Any]
) -> UserError:
  """Return the error that names the values in which process `index` differs."""
  keys = [key for key in {**first, **other} if first.get(key) != other.get(key)]
  listed = "; ".join(
    f"{key}: {_short(first.get(key))} in process 0, {_short(other.get(key))} in "
    f"process {index}"
    for key in keys[:3]
  )
  more = f"; and {len(keys) - 3} more" * (len(keys) > 3)
  return UserError(
    f"The processes differ in their {what}: {listed}{more}. Start all with the same."
  )


def _short(value: Any) -> str:
  """Return a value for a message; a hash is shortened."""
  hashed = isinstance(value, str) and len(value) == 64
  return value[:12] if hashed else json.dumps(value)


def _initialize(place: Place, join: float, lag: float) -> None:
  """Start JAX's runtime; end this process if the others are not found in time."""
  import jax  # Slow to import, so only after the flags are read.

  # The service would intercept SIGTERM, which the training loop handles.
  jax.config.update("jax_enable_preemption_service", False)
  if place.coordinator and place.id == 0:
    _refuse_unavailable(place.coordinator)
  address: dict[str, Any] = {}  # JAX takes it from the launcher.
  if place.coordinator:
    address = {
      "coordinator_address": place.coordinator,
      "coordinator_bind_address": place.coordinator,  # By default all interfaces.
    }
  where = f"--coordinator={place.coordinator}" if address else "the launcher's address"
  late = threading.Timer(
    join,
    _give_up,
    [
      f"The {place.num} processes did not find each other at {where} within {join:g} s. "
      f"Start all of them with the same address, number of processes and version of jax "
      f"(here {installed('jax')}), each with its own --process_id; "
      f"--config.processes.join=300 waits longer."
    ],
  )
  late.start()
  try:
    jax.distributed.initialize(
      **address,
      num_processes=place.num,
      process_id=place.id,
      initialization_timeout=math.ceil(join + MARGIN),
      heartbeat_timeout_seconds=math.ceil(max(lag, 2 * ROLL_CALL)),
      shutdown_timeout_seconds=SHUTDOWN,
    )
  except RuntimeError as error:
    _give_up(f"JAX cannot start process {place.id} at {where}: {one_line(error)}.")
  finally:
    late.cancel()


def _refuse_unavailable(coordinator: str) -> None:
  """Raise `UserError` if process 0 cannot listen there; JAX may crash instead."""
  host, _, port = coordinator.rpartition(":")
  host = host.removeprefix("[").removesuffix("]")
  try:
    family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0][0]
    socket.create_server((host, int(port)), family=family).close()
  except OSError as error:
    raise UserError(
      f"--coordinator={coordinator}: process 0 cannot listen there "
      f"({error.strerror or error}). Name process 0's own host and a free port."
    ) from None


def _give_up(line: str) -> NoReturn:
  """End this process; JAX's runtime is half started, and would abort it."""
  print_error(line)
  os._exit(2)


def _refuse_other_start(place: Place) -> None:
  """Raise `UserError` if this process has other versions, or devices, than process 0."""
  own = {"--num_processes": place.num, **all_versions()}
  if place.id == 0:
    service.put(HELLO, json.dumps(own))
  first = json.loads(service.get(HELLO))
  if own != first:
    raise _difference("versions", place.id, first, own)
  from attention_lab.distributed.devices import all_devices

  devices: dict[int, list[str]] = {}
  for device in all_devices():  # JAX tells every process of all devices.
    devices.setdefault(device.process_index, []).append(device.device_kind)
  for i, kinds in devices.items():
    if kinds != devices[0]:
      raise _difference("devices", i, {"devices": devices[0]}, {"devices": kinds})


def _connect() -> None:
  """Run each kind of collective once, at the same time on all processes.

  Gloo connects processes at their first collective, and waits 30 s for them.
  """
  import jax
  from jax.experimental import multihost_utils

  from attention_lab.distributed.devices import AXIS, all_devices

  service.meet("start", UNHURRIED)
  add = jax.pmap(lambda x: jax.lax.psum(x, AXIS), AXIS, devices=all_devices())
  jax.block_until_ready(add(np.ones(jax.local_device_count(), np.float32)))
  multihost_utils.process_allgather(np.uint32(0))
  multihost_utils.broadcast_one_to_all(np.uint32(0))


def _is_of_jax(error: BaseException) -> bool:
  """Return whether a collective may have broken; Gloo's errors are ValueErrors too."""
  import jax

  return isinstance(error, jax.errors.JaxRuntimeError) or "Gloo" in str(error)
