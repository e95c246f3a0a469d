"""Processes of a group exchange values, and end together if one of them fails."""

import os
import signal
import socket
import time
from concurrent import futures
from pathlib import Path

import pytest

from tests import commands
from tests.distributed import member

ABORTED = {1, -signal.SIGABRT}  # By JAX, which prints the cause itself.


def free_port():
  """Return an unused port of this machine."""
  with socket.create_server(("127.0.0.1", 0)) as server:
    return server.getsockname()[1]


def start(port, count, index, scenario, devices=1):
  """Start one process of a group."""
  words = (port, count, index, scenario)
  return commands.start(*words, devices=devices, enter=member.main)


def ended(processes, within=60):
  """Return the results of processes: [(status, standard output, standard error)].

  A stopped process cannot end; it is killed once all others have ended.
  """
  deadline, found = time.monotonic() + within, {}
  try:
    while len(found) < len(processes) and time.monotonic() < deadline:
      for i, process in enumerate(processes):
        if process.poll() is not None:
          found[i] = (process.returncode, *process.communicate())
        elif len(found) == len(processes) - 1 and is_stopped(process):
          process.kill()
      time.sleep(0.02)
  finally:
    for process in processes:
      process.kill()
      _, err = process.communicate(30)
  assert len(found) == len(processes), (sorted(found), err)
  return [found[i] for i in range(len(processes))]


def is_stopped(process):
  """Return whether a process has received SIGSTOP."""
  try:
    stat = Path(f"/proc/{process.pid}/stat").read_text()
  except OSError:  # It has ended.
    return False
  return stat.rpartition(")")[2].split()[0] == "T"


def play(scenario, count=2):
  """Run the processes of a scenario to their end, and return their results."""
  port = free_port()
  return ended([start(port, count, i, scenario) for i in range(count)])


def errors(lines):
  """Return the error lines of an output."""
  return [line for line in lines.splitlines() if line.startswith("error: ")]


# Scenarios in which all processes succeed: (scenario, processes).
SUCCEEDING = (
  ("succeeds", 3),
  ("is_slow", 2),
  ("compiles_alone", 2),
  ("first_saves", 3),
)
# The same, for more than 30 s: (scenario, devices per process).
PATIENT = (("compiles_for_long", 2), ("starts_late", 1))
LOST = "error: process 1 ended without a message: killed, or out of memory?"
LATE = "has been between two steps for 2.5 s (--config.processes.lag=2.5)"
SILENT = "stopped sending heartbeats"
FIRST_LOST = ("process 0 ended", "the leader task")  # By this package, or by JAX.
KILLED = {-signal.SIGKILL}
# Scenarios in which one process fails: (scenario, processes, number of the failing process,
# its possible statuses, those of the others, what they print).
FAILING = (
  ("is_killed", 3, 1, KILLED, {1}, LOST),
  ("leaves", 3, 1, {0}, {1}, LOST),
  ("holds_the_gil", 2, 1, {1}, {1}, LOST),
  ("first_is_killed", 3, 0, KILLED, ABORTED, FIRST_LOST),
  ("is_stopped", 3, 1, KILLED, ABORTED, (SILENT, *FIRST_LOST)),
  ("first_is_stopped", 2, 0, KILLED, ABORTED, "CoordinationService/Heartbeat"),
  ("hangs", 3, 1, {1}, {1}, f"error: process 1 {LATE}"),
  ("first_hangs", 3, 0, {1}, {1}, f"error: process 0 {LATE}"),
  ("makes_a_mistake", 3, 1, {2}, {2}, "error: process 1: own mistake\n"),
  ("first_makes_a_mistake", 3, 0, {2}, {2}, "error: process 0: own mistake\n"),
  ("raises", 2, 1, {1}, {1}, "error: process 1: member.py, line"),
  ("is_out_of_memory", 2, 1, {1}, {1}, "JaxRuntimeError: RESOURCE_EXHAUSTED: Out of"),
  ("has_other_versions", 3, 1, {2}, {2}, 'in process 0, "0.0.1" in process 1. Start'),
)


@pytest.fixture(scope="module")
def played():
  """Yield a future of the results of each scenario; three scenarios run at a time."""
  with futures.ThreadPoolExecutor(3) as pool:
    yield {s: pool.submit(play, s, count) for s, count, *_ in (*SUCCEEDING, *FAILING)}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("scenario", "count"), SUCCEEDING)
def test_slow_processes_succeed_within_their_time_limits(played, scenario, count):
  rows = [b"%02d" % i for i in range(count)]
  expected = [f"{rows} {count - 1}", "True b''", "together"]
  for status, out, err in played[scenario].result():
    assert (status, errors(err)) == (0, []), err
    assert [line for line in out.splitlines() if "[Gloo]" not in line] == expected


@pytest.mark.processes_full
@pytest.mark.parametrize(("scenario", "devices"), PATIENT)
def test_process_that_is_late_by_more_than_gloo_waits_is_awaited(scenario, devices):
  port = free_port()
  processes = [start(port, 2, i, scenario, devices) for i in range(2)]
  for status, out, err in ended(processes, 90):
    assert (status, errors(err)) == (0, []), err
    assert "together" in out


@pytest.mark.parametrize(
  ("scenario", "count", "faulty", "own", "others", "cause"), FAILING
)
def test_failure_of_one_process_ends_all(
  played, scenario, count, faulty, own, others, cause
):
  found = played[scenario].result()
  causes = (cause,) if isinstance(cause, str) else cause
  assert len(found) == count
  for i, (status, out, err) in enumerate(found):
    assert status in (own if i == faulty else others), err
    assert "together" not in out
    if i != faulty:
      assert any(each in err for each in causes), err


def test_failing_process_prints_its_own_message(played):
  _, (_, _, err), _ = played["makes_a_mistake"].result()
  assert errors(err) == ["error: own mistake"]
  _, (_, _, err) = played["raises"].result()
  assert "Traceback" in err
  _, (_, _, err), _ = played["hangs"].result()
  assert 'member.py", line' in err  # The stack where it hangs.


def test_stopped_process_is_reported_by_the_first_one(played):
  (_, _, err), *_ = played["is_stopped"].result()
  assert SILENT in err


def test_missing_process_is_reported_by_all_others():
  port = free_port()
  line = f"The 3 processes did not find each other at --coordinator=127.0.0.1:{port} wi"
  for status, _, err in ended([start(port, 3, i, "is_missing") for i in (0, 1)]):
    assert status == 2
    assert f"error: {line}" in err
    assert "--config.processes.join=300" in err
    assert err.count("\n") == 1


def slurm(index):
  """Return the environment of one of two tasks of Slurm's srun."""
  return {
    "SLURM_JOB_ID": str(os.getpid()),  # JAX derives the port from it.
    "SLURM_STEP_NODELIST": "127.0.0.1",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": str(index),
    "SLURM_LOCALID": str(index),
  }


def open_mpi(index):
  """Return the environment of one of two processes of Open MPI's mpirun."""
  return {
    "OMPI_MCA_orte_hnp_uri": f"{(os.getpid() + 1) << 12}.0;tcp://127.0.0.1:1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_RANK": str(index),
    "OMPI_COMM_WORLD_LOCAL_RANK": str(index),
  }


@pytest.mark.parametrize("launcher", [slurm, open_mpi])
def test_launched_processes_find_each_other(monkeypatch, launcher):
  processes = []
  for i in range(2):
    for name, value in launcher(i).items():
      monkeypatch.setenv(name, value)
    processes.append(start(0, 0, 0, "is_launched"))
  for status, out, err in ended(processes):
    assert status == 0, err
    assert "[b'00', b'01'] 1\nTrue b''\ntogether\n" in out


def test_unusable_address_is_reported():
  with socket.create_server(("127.0.0.1", 0)) as server:
    port = server.getsockname()[1]
    ((status, _, err),) = ended([start(port, 2, 0, "succeeds")])
  assert status == 2
  (line,) = errors(err)
  assert f"--coordinator=127.0.0.1:{port}: process 0 cannot listen there (" in line


@pytest.mark.parametrize(
  ("places", "devices", "cause"),
  [
    (((2, 0), (3, 1)), (1, 1), "--num_processes: 2 in process 0, 3 in process 1."),
    (((2, 0), (2, 1)), (1, 2), "differ in their devices: devices: "),
  ],
)
def test_contradictory_starts_are_reported_by_all_processes(places, devices, cause):
  port = free_port()
  processes = [
    start(port, *place, "succeeds", devices=count)
    for place, count in zip(places, devices, strict=True)
  ]
  for status, _, err in ended(processes):
    assert status == 2, err
    (line,) = errors(err)
    assert cause in line
