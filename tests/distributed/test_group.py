"""Processes of a group exchange values, and end together if one of them fails."""

import os
import signal
import socket
import subprocess
import sys
from concurrent import futures
from pathlib import Path

import pytest

from attention_lab.distributed.wire import SIZES
from tests.distributed import member

ROOT = Path(__file__).parents[2]
AGAIN = "Start all of them again with the same command"


def free_port():
  """Return an unused port of this machine."""
  with socket.create_server(("127.0.0.1", 0)) as server:
    return server.getsockname()[1]


def start(port, count, index, scenario):
  """Start one process of a group."""
  words = [sys.executable, member.__file__, port, count, index, scenario]
  return subprocess.Popen(
    [*map(str, words)],
    env=os.environ | {"PYTHONPATH": str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def ended(processes, within=30):
  """Return the results of processes: [(status, standard output, standard error)]."""
  found = []
  try:
    for process in processes:
      out, err = process.communicate(timeout=within)
      found.append((process.returncode, out, err))
  finally:
    for process in processes:
      process.kill()
      process.communicate()
  return found


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
  ("compiles", 2),
  ("compiles_alone", 2),
  ("first_saves", 3),
)
# Scenarios in which one process fails: (scenario, processes, index of the failing process,
# its status, message of the others).
FAILING = (
  ("is_killed", 3, 1, -signal.SIGKILL, "process 1 ended without a message"),
  ("first_is_killed", 3, 0, -signal.SIGKILL, "process 0 ended without a message"),
  ("is_stopped", 3, 1, -signal.SIGKILL, "process 1 has not answered for 2.5 s"),
  ("first_is_stopped", 2, 0, -signal.SIGKILL, "process 0 has not answered"),
  ("holds_the_gil", 2, 1, -signal.SIGKILL, "process 1 has not answered for 2.5 s"),
  ("hangs", 3, 1, 1, "process 1 did not reach step 3 for "),
  ("first_hangs", 3, 0, 1, "process 0 did not reach step 3 for "),
  ("fails", 3, 1, 2, "process 1: message for others"),
  ("is_out_of_order", 3, 1, 1, "is at 'another exchange' but process 0 is at 'step 3'"),
)


@pytest.fixture(scope="module")
def played():
  """Yield a future of the results of each scenario; three scenarios run at a time."""
  with futures.ThreadPoolExecutor(3) as pool:
    yield {s: pool.submit(play, s, count) for s, count, *_ in (*SUCCEEDING, *FAILING)}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("scenario", "count"), SUCCEEDING)
def test_slow_processes_succeed_within_their_time_limits(played, scenario, count):
  greetings = [f"I am {i}.".encode() for i in range(count)]
  secret = b"\x00of the first"
  expected = f"{greetings}\n{secret} {count - 1}\ntogether\n"
  assert played[scenario].result() == [(0, expected, "")] * count


@pytest.mark.parametrize(("scenario", "count", "faulty", "status", "cause"), FAILING)
def test_failure_of_one_process_ends_all(
  played, scenario, count, faulty, status, cause
):
  found = played[scenario].result()
  assert len(found) == count
  assert found[faulty][0] == status
  for i, (code, _, err) in enumerate(found):
    if i != faulty:
      assert code == abs(status) if status > 0 else code == 1
      assert len(errors(err)) == 1, err
      assert cause in err


def test_failing_process_prints_its_own_message(played):
  _, (status, _, err), _ = played["fails"].result()
  assert (status, err) == (2, "error: own message\n")


def test_process_that_starts_late_is_awaited():
  port = free_port()
  second = start(port, 2, 1, "succeeds")  # The first process is not started yet.
  with pytest.raises(subprocess.TimeoutExpired):
    second.wait(1)
  found = ended([start(port, 2, 0, "succeeds"), second])
  assert [status for status, _, _ in found] == [0, 0]


def test_process_that_does_not_connect_is_reported():
  port = free_port()
  first, second = ended([start(port, 3, i, "missing") for i in (0, 1)])
  for status, _, err in (first, second):
    assert status == 2
    assert len(errors(err)) == 1
  assert (
    f"Of 3 processes process 2 did not connect to 127.0.0.1:{port} within 1 s"
    in first[2]
  )
  assert "--config.processes.join=300" in first[2]


def test_missing_first_process_is_reported_in_one_line():
  port = free_port()
  ((status, _, err),) = ended([start(port, 2, 1, "missing")])
  assert status == 2
  assert f"--coordinator=127.0.0.1:{port}: process 0 did not answer within 1 s" in err
  assert err.count("\n") == 1


def test_other_server_at_the_address_is_reported():
  with socket.create_server(("127.0.0.1", 0)) as server:
    process = start(server.getsockname()[1], 2, 1, "succeeds")
    connection, _ = server.accept()
    connection.sendall(b"SSH-2.0-OpenSSH_9.6 and a greeting of more bytes\r\n")
    ((status, _, err),) = ended([process])
    connection.close()
  assert status == 2
  assert "what listens there is not process 0 of a run" in err
  assert err.count("\n") == 1


def framed(head):
  """Return a message of the protocol with this head and no body."""
  return SIZES.pack(len(head), 0) + head


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    framed(b"{"),
    framed(b"[1]"),
    framed(b'{"kind": "hello"}'),
    framed(b'{"kind": "hello", "says": "x", "index": 1, "count": 2, "who": [1, ""]}'),
    SIZES.pack(2, 1 << 40) + b"{}",
  ],
)
def test_foreign_connection_is_rejected(content):
  port = free_port()
  first = start(port, 2, 0, "succeeds")
  while True:
    try:
      with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(content)
      break
    except ConnectionRefusedError:
      assert first.poll() is None
  second = start(port, 2, 1, "succeeds")
  assert [status for status, _, _ in ended([first, second])] == [0, 0]


@pytest.mark.parametrize(
  ("second", "third", "line"),
  [
    ((3, 1), (3, 1), "--process_id=1 was given to two processes"),
    ((3, 1), (4, 2), "--num_processes=4, and process 0 with 3"),
  ],
)
def test_contradictory_flags_are_reported_by_all_processes(second, third, line):
  port = free_port()
  places = [(3, 0), second, third]
  found = ended([start(port, *place, "impatient") for place in places])
  assert [status for status, _, _ in found] == [2, 2, 2]
  assert line in found[0][2]
  assert all(len(errors(err)) == 1 for _, _, err in found)
