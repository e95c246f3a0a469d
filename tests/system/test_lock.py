"""One process at a time holds a lock, and the lock of a dead process is free."""

import errno
import os
import socket
import subprocess
import sys

import pytest

from attention_lab.errors import UserError
from attention_lab.system import lock
from attention_lab.system.lock import alone

HOLD = """
import sys, pathlib
from attention_lab.system import lock
from attention_lab.system.lock import alone
with alone(pathlib.Path(sys.argv[1]), ""):
  print(flush=True)
  sys.stdin.read()
"""


def test_second_process_is_rejected_with_the_holder_until_the_holder_is_killed(
  tmp_path,
):
  path = tmp_path / ".lock"
  command = [sys.executable, "-c", HOLD, str(path)]
  pipe = subprocess.PIPE
  with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
    holder.stdout.readline()
    in_use = (
      f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()}. Wait"
    )
    with pytest.raises(UserError, match=in_use), alone(path, "Wait."):
      pass
    holder.kill()
  with alone(path, "Wait."):
    assert path.read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_lock_file_left_by_another_host_is_free(tmp_path):
  path = tmp_path / ".lock"
  path.write_text("1 elsewhere\n")
  with alone(path, "Wait."):
    assert path.read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_lock_file_that_cannot_be_opened_is_reported(tmp_path):
  (tmp_path / ".lock").mkdir()  # A folder cannot be opened as a file, not even by root.
  with (
    pytest.raises(
      UserError, match=r"Cannot write to .*\.lock: Is a directory. Name one"
    ),
    alone(tmp_path / ".lock", "Name one."),
  ):
    pass


@pytest.fixture
def without_locks(monkeypatch, capsys):
  """Let locks fail as on a network file system without them."""

  def fail(*arguments):
    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

  monkeypatch.setattr(lock.fcntl, "flock", fail)
  monkeypatch.setattr(lock, "_warned", [])
  return capsys


def test_a_file_stands_for_a_lock_where_there_are_none(tmp_path, without_locks):
  path, held = tmp_path / ".lock", tmp_path / ".lock.held"
  with alone(path, "Wait."):
    assert held.read_text() == f"{os.getpid()} {socket.gethostname()}\n"
    with pytest.raises(UserError, match="is in use by process"), alone(path, "Wait."):
      pass
    assert held.exists()
  assert not held.exists()
  with alone(path, "Wait."):
    pass
  err = without_locks.readouterr().err
  assert err.count("has no locks; .lock.held stands for one") == 1
  with open(path, "a") as file:
    assert lock.take(file, wait=True)


@pytest.mark.parametrize(
  ("host", "free"), [(socket.gethostname(), True), ("elsewhere", False)]
)
def test_the_file_of_a_dead_process_is_taken_over_on_its_machine(
  host, free, tmp_path, without_locks
):
  dead = subprocess.Popen([sys.executable, "-c", ""])
  dead.wait()
  (tmp_path / ".lock.held").write_text(f"{dead.pid} {host}\n")
  if free:
    with alone(tmp_path / ".lock", ""):
      pass
  else:
    with pytest.raises(UserError, match="in use"), alone(tmp_path / ".lock", ""):
      pass


def test_a_system_without_locks_is_told_what_is_supported(tmp_path, monkeypatch):
  monkeypatch.setattr(lock, "fcntl", None)
  with pytest.raises(UserError, match="Linux and macOS"), alone(tmp_path / "x", ""):
    pass


def test_a_lock_does_not_follow_links(tmp_path):
  target = tmp_path / "profile"
  target.write_text("precious")
  (tmp_path / ".lock").symlink_to(target)
  with pytest.raises(UserError, match="symbolic link"), alone(tmp_path / ".lock", ""):
    pass
  assert target.read_text() == "precious"
