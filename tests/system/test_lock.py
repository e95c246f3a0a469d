"""One process at a time holds a lock, and the lock of a dead process is free."""

import os
import socket
import subprocess
import sys

import pytest

from attention_lab.errors import UserError
from attention_lab.system.lock import alone

HOLD = """
import sys, pathlib
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
