"""A full disk or a closed pipe at standard output causes one line of error at most."""

import errno
import os
import subprocess
import sys

import pytest

from attention_lab.system import stdout
from tests.commands import ROOT

LIST = [sys.executable, "-m", "attention_lab.main", "--mode=list"]


def printing_to(descriptor):
  """Return status and standard error of a command that prints to a file descriptor."""
  environment = os.environ | {"PYTHONPATH": str(ROOT)}
  pipe = subprocess.PIPE
  with subprocess.Popen(
    LIST, stdout=descriptor, stderr=pipe, text=True, env=environment
  ) as started:
    os.close(descriptor)
    _, err = started.communicate(timeout=100)
  return started.returncode, err


def test_full_disk_is_reported_in_one_line():
  expected = (
    "error: Cannot write: No space left on device. Free some space, and repeat "
  )
  status, err = printing_to(os.open("/dev/full", os.O_WRONLY))
  assert (status, err) == (2, expected + "the command.\n")


def test_closed_pipe_ends_the_command_silently():
  read, write = os.pipe()
  os.close(read)
  assert printing_to(write) == (1, "")


@pytest.mark.parametrize("number", stdout.NO_ROOM)
def test_full_disk_is_reported_with_the_file(number):
  error = OSError(number, os.strerror(number), "/a/file")
  assert f"Cannot write to /a/file: {os.strerror(number)}." in str(
    stdout.no_room(error)
  )


@pytest.mark.parametrize(
  "error", [OSError(errno.ENOENT, "none"), ValueError("no file")]
)
def test_other_errors_are_not_converted(error):
  assert stdout.no_room(error) is None


def test_closed_reader_is_detected(monkeypatch):
  read, write = os.pipe()
  with os.fdopen(write, "w") as file:
    monkeypatch.setattr(sys, "stdout", file)
    assert stdout.is_read()
    os.close(read)
    assert not stdout.is_read()
