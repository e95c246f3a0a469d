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


STREAMS = """
import sys
from attention_lab.system import stdout
stdout.prepare()
with open(sys.argv[1], "w") as file:
  print(file.fileno() > 2, all((sys.stdin, sys.stdout, sys.stderr)), file=file)
print("√")
print("→", file=sys.stderr)
"""


@pytest.mark.parametrize("closed", ["", "0", "1", "2", "12", "012"])
def test_closed_streams_become_the_null_device(closed, tmp_path):
  """Otherwise a file of a run takes the number of a stream, and what is printed."""
  path = tmp_path / "file"
  closing = " ".join(f"{number}>&-" for number in closed)
  done = subprocess.run(
    ["sh", "-c", f'exec "$@" {closing}', "sh", sys.executable, "-c", STREAMS, path],
    cwd=ROOT,
    check=False,
  )
  assert done.returncode == 0
  assert path.read_text() == "True True\n"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_characters_that_a_stream_does_not_have_are_escaped(encoding, tmp_path):
  environment = os.environ | {"PYTHONIOENCODING": encoding}
  done = subprocess.run(
    [sys.executable, "-c", STREAMS, tmp_path / "file"],
    capture_output=True,
    env=environment,
    cwd=ROOT,
    check=True,
  )
  expected = ("√", "→") if encoding == "utf-8" else ("\\u221a", "\\u2192")
  assert (done.stdout.decode().strip(), done.stderr.decode().strip()) == expected
