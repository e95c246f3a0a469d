"""Proves that a folder is one process's at a time, and a dead one's is nobody's."""

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


def test_a_second_process_is_told_who_holds_it_until_that_one_is_killed(tmp_path):
  path = tmp_path / ".lock"
  command = [sys.executable, "-c", HOLD, str(path)]
  pipe = subprocess.PIPE
  with subprocess.Popen(command, stdin=pipe, stdout=pipe) as holder:
    holder.stdout.readline()
    who = (
      f"{tmp_path} is in use by process {holder.pid} on {socket.gethostname()}. Wait"
    )
    with pytest.raises(UserError, match=who), alone(path, "Wait."):
      pass
    holder.kill()
  with alone(path, "Wait."):
    assert path.read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_what_another_host_left_behind_holds_nobody(tmp_path):
  path = tmp_path / ".lock"
  path.write_text("1 elsewhere\n")
  with alone(path, "Wait."):
    assert path.read_text() == f"{os.getpid()} {socket.gethostname()}\n"


def test_a_lock_that_cannot_be_written_is_told_in_a_line(tmp_path):
  (tmp_path / ".lock").mkdir()  # As somebody else's file is to all but root.
  with (
    pytest.raises(
      UserError, match=r"Cannot write to .*\.lock: Is a directory. Name one"
    ),
    alone(tmp_path / ".lock", "Name one."),
  ):
    pass
