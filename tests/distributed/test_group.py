"""Proves that processes decide as one and end as one, whatever becomes of one of them."""

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
  """A port of this machine on which nobody listens."""
  with socket.create_server(("127.0.0.1", 0)) as server:
    return server.getsockname()[1]


def start(port, count, index, scenario):
  """Start a member."""
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


def members(scenario, count=2):
  """Run a scenario to its end."""
  port = free_port()
  return ended([start(port, count, i, scenario) for i in range(count)])


def errors(lines):
  """The lines that say what went wrong."""
  return [line for line in lines.splitlines() if line.startswith("error: ")]


# What may take its time: (scenario, processes).
SLOW = (
  ("well", 3),
  ("straggles", 2),
  ("compiles", 2),
  ("compiles_alone", 2),
  ("first_saves", 3),
)
# Where one cannot go on: (scenario, processes, which one, its status, what others say).
WRONG = (
  ("is_killed", 3, 1, -signal.SIGKILL, "process 1 ended without a message"),
  ("first_is_killed", 3, 0, -signal.SIGKILL, "process 0 ended without a message"),
  ("is_stopped", 3, 1, -signal.SIGKILL, "process 1 has not answered for 2.5 s"),
  ("first_is_stopped", 2, 0, -signal.SIGKILL, "process 0 has not answered"),
  ("keeps_the_lock", 2, 1, -signal.SIGKILL, "process 1 has not answered for 2.5 s"),
  ("sleeps", 3, 1, 1, "process 1 did not reach step 3 for "),
  ("first_sleeps", 3, 0, 1, "process 0 did not reach step 3 for "),
  ("fails", 3, 1, 2, "process 1: its words"),
  ("is_elsewhere", 3, 1, 1, "is at 'the wrong place' but process 0 is at 'step 3'"),
)


@pytest.fixture(scope="module")
def played():
  """Results of the members of each scenario, run three at a time."""
  with futures.ThreadPoolExecutor(3) as pool:
    yield {s: pool.submit(members, s, count) for s, count, *_ in (*SLOW, *WRONG)}
    pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize(("scenario", "count"), SLOW)
def test_what_may_take_its_time_does(played, scenario, count):
  greetings = [f"I am {i}.".encode() for i in range(count)]
  secret = b"\x00of the first"
  said = f"{greetings}\n{secret} {count - 1}\ntogether\n"
  assert played[scenario].result() == [(0, said, "")] * count


@pytest.mark.parametrize(("scenario", "count", "wrong", "status", "cause"), WRONG)
def test_all_end_where_one_cannot_go_on(played, scenario, count, wrong, status, cause):
  found = played[scenario].result()
  assert len(found) == count
  assert found[wrong][0] == status
  for i, (code, _, err) in enumerate(found):
    if i != wrong:
      assert code == abs(status) if status > 0 else code == 1
      assert len(errors(err)) == 1, err
      assert cause in err


def test_a_member_that_fails_says_so_itself(played):
  _, (status, _, err), _ = played["fails"].result()
  assert (status, err) == (2, "error: my own\n")


def test_one_who_comes_late_is_waited_for():
  port = free_port()
  later = start(port, 2, 1, "well")  # It finds nobody at first.
  with pytest.raises(subprocess.TimeoutExpired):
    later.wait(1)
  assert [status for status, _, _ in ended([start(port, 2, 0, "well"), later])] == [
    0,
    0,
  ]


def test_one_who_does_not_come_is_named():
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


def test_where_nobody_listens_one_line_says_so():
  port = free_port()
  ((status, _, err),) = ended([start(port, 2, 1, "missing")])
  assert status == 2
  assert f"--coordinator=127.0.0.1:{port}: process 0 did not answer within 1 s" in err
  assert err.count("\n") == 1


def test_what_listens_may_be_something_else():
  with socket.create_server(("127.0.0.1", 0)) as server:
    process = start(server.getsockname()[1], 2, 1, "well")
    connection, _ = server.accept()
    connection.sendall(b"SSH-2.0-OpenSSH_9.6 and a greeting of more bytes\r\n")
    ((status, _, err),) = ended([process])
    connection.close()
  assert status == 2
  assert "what listens there is not process 0 of a run" in err
  assert err.count("\n") == 1


def framed(head):
  """A message as our own processes send it."""
  return SIZES.pack(len(head), 0) + head


@pytest.mark.parametrize(
  "said",
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
def test_strangers_are_sent_away(said):
  port = free_port()
  first = start(port, 2, 0, "well")
  while True:
    try:
      with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.sendall(said)
      break
    except ConnectionRefusedError:
      assert first.poll() is None
  second = start(port, 2, 1, "well")
  assert [status for status, _, _ in ended([first, second])] == [0, 0]


@pytest.mark.parametrize(
  ("second", "third", "line"),
  [
    ((3, 1), (3, 1), "--process_id=1 was given to two processes"),
    ((3, 1), (4, 2), "--num_processes=4, and process 0 with 3"),
  ],
)
def test_those_who_were_started_wrongly_are_told(second, third, line):
  port = free_port()
  places = [(3, 0), second, third]
  found = ended([start(port, *place, "impatient") for place in places])
  assert [status for status, _, _ in found] == [2, 2, 2]
  assert line in found[0][2]
  assert all(len(errors(err)) == 1 for _, _, err in found)
